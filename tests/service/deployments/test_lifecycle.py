"""What Ray Serve says of the models, in our words, without Ray. The same with it is in tests/e2e and tests/faults."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from ray.serve.schema import (
    ApplicationStatus,
    ApplicationStatusOverview,
    DeploymentStatus,
    DeploymentStatusOverview,
    DeploymentStatusTrigger,
    ReplicaState,
    ServeStatus,
)

from service.config import SHIPPED_MODELS, Settings
from service.deployments import lifecycle
from service.deployments.lifecycle import Replicas, StartError, application_of

SETTINGS = Settings(models={name: SHIPPED_MODELS[name] for name in ("translator", "generator", "classifier")})
TRACEBACK = """The deployment failed to start 1 times in a row.
Traceback (most recent call last):
  File "text_engine.py", line 1, in __init__
    raise ValueError("Error")
ValueError: there is no room for 64 slots
  and what a library adds
"""


def serving(monkeypatch: pytest.MonkeyPatch, **models: tuple[str, str, int, str]) -> None:
    """Ray Serve knows these models: the status of the application and of its deployment, replicas and a message."""
    trigger = next(iter(DeploymentStatusTrigger))
    applications = {
        application_of(name): ApplicationStatusOverview(
            ApplicationStatus(application),
            "of the application",
            0.0,
            {
                name: DeploymentStatusOverview(
                    DeploymentStatus(status), trigger, {ReplicaState.RUNNING: running}, message
                )
            },
        )
        for name, (application, status, running, message) in models.items()
    }
    monkeypatch.setattr(lifecycle.serve, "status", lambda: ServeStatus(applications=applications))


def test_a_model_is_complete_when_it_is_healthy_and_scales_when_it_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving(
        monkeypatch,
        translator=("RUNNING", "HEALTHY", 2, ""),
        generator=("DEPLOYING", "UPSCALING", 1, "one of two"),
    )
    assert lifecycle.replicas(SETTINGS) == {
        "translator": Replicas(running=2, complete=True, scaling=False, message=""),
        "generator": Replicas(running=1, complete=False, scaling=True, message="one of two"),
        "classifier": Replicas(running=0, complete=False, scaling=True, message=""),
    }
    serving(monkeypatch, classifier=("UNHEALTHY", "UNHEALTHY", 0, TRACEBACK))
    assert lifecycle.replicas(SETTINGS)["classifier"] == Replicas(
        running=0, complete=False, scaling=False, message="ValueError: there is no room for 64 slots"
    )


def deploy(monkeypatch: pytest.MonkeyPatch, ends: Callable[[], None]) -> list[tuple[str, ...]]:
    """Who was said to be loading; `ends` is called when that has been said, and may raise."""
    said: list[tuple[str, ...]] = []
    heard = threading.Event()

    def run_many(targets: list[object]) -> None:
        assert len(targets) == 3
        assert heard.wait(5)
        ends()

    def loading(models: tuple[str, ...]) -> None:
        said.append(models)
        heard.set()

    monkeypatch.setattr(lifecycle, "LOOK_S", 0.001)
    monkeypatch.setattr(lifecycle.serve, "run_many", run_many)
    lifecycle.deploy(SETTINGS, None, loading)
    return said


def fails() -> None:
    raise RuntimeError("a log of Serve's\nDeploying application triptych-generator failed")


def test_while_models_are_deployed_those_that_are_not_complete_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    serving(monkeypatch, translator=("RUNNING", "HEALTHY", 1, ""))
    assert deploy(monkeypatch, lambda: None)[0] == ("generator", "classifier")


def test_a_model_that_cannot_be_deployed_is_named_with_the_error_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    serving(
        monkeypatch,
        translator=("RUNNING", "HEALTHY", 1, ""),
        generator=("DEPLOY_FAILED", "DEPLOY_FAILED", 0, TRACEBACK),
    )
    with pytest.raises(StartError, match=r"^generator: ValueError: there is no room for 64 slots$"):
        deploy(monkeypatch, fails)
    serving(monkeypatch, generator=("DEPLOY_FAILED", "DEPLOY_FAILED", 0, ""))
    with pytest.raises(StartError, match=r"^generator: of the application$"):
        deploy(monkeypatch, fails)


def test_where_serve_says_nothing_the_last_line_of_what_it_raised_is_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving(monkeypatch)
    with pytest.raises(StartError, match=r"^Deploying application triptych-generator failed$"):
        deploy(monkeypatch, fails)
    monkeypatch.setattr(lifecycle.ray, "init", lambda **_: fails())
    with pytest.raises(StartError, match=r"^Ray did not start: Deploying application triptych-generator failed$"):
        lifecycle.connect("here:1", SETTINGS, "")
