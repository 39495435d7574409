"""Ray and the models on it: connect, deploy, look how they are, withdraw.

Import this only in the environment of `environment.py`: Ray Serve reads it once, when it is imported.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

import ray
from ray import serve
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, DeploymentStatusOverview, ReplicaState

from service.config import Settings
from service.deployments.lean import leave_out_tables
from service.deployments.model import deploy_model

NAMESPACE = "triptych"
LOOK_S = 0.2

log = logging.getLogger("triptych.lifecycle")


class StartError(RuntimeError):
    """The models did not come up; the message says why."""


def application_of(model: str) -> str:
    """Each model is an application of Ray Serve's, of one deployment."""
    return f"triptych-{model}"


@dataclass(frozen=True, slots=True)
class Replicas:
    """How a model's deployment is."""

    running: int
    complete: bool  # as many run as should
    scaling: bool  # Ray Serve is adding or removing some on purpose
    message: str


def connect(address: str | None, settings: Settings, directory: str) -> str:
    """Start a Ray of our own, which ends with this process, or join the cluster at `address`; its address.

    Raises StartError.
    """
    try:
        if address is None:
            reserved = sum(m.max_replicas * m.cpus_per_replica for m in settings.models.values())
            ray.init(
                address="local",
                namespace=NAMESPACE,
                include_dashboard=False,
                num_cpus=max(1, round(reserved + 0.5)),
                object_store_memory=100 * 2**20,  # messages are small; Ray would take a third of the memory
                logging_level=logging.WARNING,
                log_to_driver=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=directory,
                runtime_env={"worker_process_setup_hook": f"{leave_out_tables.__module__}.{leave_out_tables.__name__}"},
            )
        else:
            ray.init(address=address, namespace=NAMESPACE, logging_level=logging.WARNING)
        # Nobody is to answer HTTP but the gateways. Where a cluster's Serve runs already, it keeps what it has.
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(proxy_location="Disabled")
    except Exception as error:  # of many kinds, with the log of a process in another's traceback
        log.debug("Ray did not start", exc_info=True)
        raise StartError(f"Ray did not start: {_last_line(error)}") from error
    return ray.get_runtime_context().gcs_address


def deploy(settings: Settings, logs: str | None, loading: Callable[[tuple[str, ...]], None]) -> None:
    """Deploy the models and wait until every replica runs. Raises StartError with what Serve has to say."""
    deploying: Future[None] = Future()

    def run() -> None:
        try:
            targets = [
                serve.RunTarget(
                    deploy_model(name, settings, logs), application_of(name), None, {"log_level": "WARNING"}
                )
                for name in settings.models
            ]
            serve.run_many(targets)
            deploying.set_result(None)
        except BaseException as error:
            deploying.set_exception(error)

    threading.Thread(target=run, name="deploy", daemon=True).start()
    while not deploying.done():
        loading(tuple(name for name, state in replicas(settings).items() if not state.complete))
        time.sleep(LOOK_S)
    if failure := deploying.exception():
        raise StartError(_failure(settings) or _last_line(failure)) from failure


def replicas(settings: Settings) -> dict[str, Replicas]:
    """Of each model, as Ray Serve sees them."""
    applications = serve.status().applications
    return {name: _replicas(applications.get(application_of(name)), name) for name in settings.models}


def _replicas(application: ApplicationStatusOverview | None, model: str) -> Replicas:
    deployment = None if application is None else application.deployments.get(model)
    if deployment is None:
        return Replicas(0, False, True, "")
    return Replicas(
        running=deployment.replica_states.get(ReplicaState.RUNNING, 0),
        complete=deployment.status == "HEALTHY",
        scaling=deployment.status in ("UPSCALING", "DOWNSCALING"),
        message=_error_in(deployment),
    )


def withdraw(settings: Settings) -> None:
    """Take the models off a cluster."""
    with suppress(Exception):  # the cluster may be gone
        for name in settings.models:
            serve.delete(application_of(name), _blocking=False)


def _failure(settings: Settings) -> str:
    """Why the first of the models that failed did: Serve's message carries the whole traceback."""
    with suppress(Exception):
        applications = serve.status().applications
        for name in settings.models:
            application = applications.get(application_of(name))
            if application is not None and application.status == ApplicationStatus.DEPLOY_FAILED:
                reasons = [_error_in(each) for each in application.deployments.values()]
                return f"{name}: {next(filter(None, reasons), application.message)}"
    return ""


def _error_in(deployment: DeploymentStatusOverview) -> str:
    lines = [line.strip() for line in deployment.message.splitlines() if "Error" in line]
    return lines[-1] if lines else deployment.message.strip().rpartition("\n")[2]


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
