"""Dockerfile, .dockerignore and compose.yaml, read together."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import Settings
from service.gateway.app import create_app
from service.observability.metrics import GatewayMetrics
from tests.service.gateway.fakes import FakeWorker

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, arguments) of the Dockerfile, lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


def last(instruction: str) -> str:
    return [arguments for word, arguments in instructions() if word == instruction][-1]


def copied(some: list[tuple[str, str]]) -> list[str]:
    """Sources of every COPY among them, but from another stage."""
    copies = [shlex.split(arguments) for word, arguments in some if word == "COPY"]
    return [source for words in copies if not words[0].startswith("--from=") for source in words[:-1]]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps `path` out of the build: the last pattern that matches it or a parent decides."""
    decision = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        negated, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        parts = path.split("/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        if any(fnmatch(each, pattern.removeprefix("**/")) for each in (*above, *parts)):
            decision = not negated
    return decision


def test_what_the_image_copies_exists_and_is_in_the_build_context() -> None:
    sources = copied(instructions())
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    weights = list(ROOT.glob("models/checkpoints/*/*/model.safetensors"))
    assert len(weights) == 3
    assert not any(ignored(str(path.relative_to(ROOT))) for path in weights)
    assert not ignored("service/gateway/app.py")


@pytest.mark.parametrize(
    "path", [".git/config", ".venv/bin/python", "runs/a.log", "models/__pycache__/cache.pyc", ".env"]
)
def test_the_build_context_leaves_out(path: str) -> None:
    assert ignored(path)


def test_everything_pyproject_needs_to_install_is_copied_before_the_project_is_installed() -> None:
    order = instructions()
    install = next(
        number for number, (word, arguments) in enumerate(order) if word == "RUN" and "--editable" in arguments
    )
    assert {"pyproject.toml", "README.md", "LICENSE", "service", "models"} <= set(copied(order[:install]))


def test_a_change_of_the_code_does_not_install_the_dependencies_again() -> None:
    order = [arguments for word, arguments in instructions() if word in ("COPY", "RUN")]
    dependencies = next(number for number, arguments in enumerate(order) if "--requirement" in arguments)
    code = next(number for number, arguments in enumerate(order) if arguments.startswith("service"))
    assert dependencies < code
    assert "--constraint constraints.txt" in order[dependencies]


def test_compose_and_the_image_take_the_cpu_build_of_torch_from_the_same_place() -> None:
    name, _, default = last("ARG").partition("=")
    assert SERVICES["triptych"]["build"]["args"] == {name: f"${{{name}-{default}}}"}
    assert any("torch" in arguments and f"${name}" in arguments for word, arguments in instructions() if word == "RUN")


def test_the_service_does_not_run_as_root_and_owns_none_of_its_code() -> None:
    assert last("USER") not in ("root", "0")
    made = next(arguments for word, arguments in instructions() if word == "RUN" and "useradd" in arguments)
    assert last("USER") in made.split()
    assert not any("chown" in arguments for _, arguments in instructions())


def test_signals_reach_the_service_through_an_init_and_no_shell() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["tini", "--", "triptych"]
    assert json.loads(last("CMD")) == ["serve", "--host", "0.0.0.0"]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_health_check_asks_a_route_the_gateway_has_and_needs_no_curl() -> None:
    settings = Settings()
    workers = {name: FakeWorker(name, model.task) for name, model in settings.models.items()}
    routes = {getattr(route, "path", None) for route in create_app(settings, workers, GatewayMetrics([])).routes}
    options, _, command = last("HEALTHCHECK").partition("CMD ")
    program, *_, code = json.loads(command)
    assert program == "python"
    compile(code, "HEALTHCHECK", "exec")
    (path,) = re.findall(r"127\.0\.0\.1:%s(/\w+)", code)
    assert path in routes
    assert int(re.findall(r"timeout=(\d+)\)", code)[0]) < int(re.findall(r"--timeout=(\d+)s", options)[0])


def test_compose_publishes_the_port_the_image_exposes_on_the_loopback_interface_alone() -> None:
    assert f"127.0.0.1:{last('EXPOSE')}:{last('EXPOSE')}" in SERVICES["triptych"]["ports"]
    assert int(last("EXPOSE")) == Settings.model_fields["port"].default
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", []))


def test_compose_gives_ray_room_and_running_requests_time() -> None:
    from service.serving.supervisor import DRAIN_S, LEAVE_S

    triptych = SERVICES["triptych"]
    assert int(triptych["shm_size"].removesuffix("mb")) >= 128
    assert int(triptych["stop_grace_period"].removesuffix("s")) > DRAIN_S + 2 * LEAVE_S + 3


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "triptych"])
def test_a_foreign_image_is_pinned_to_a_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_what_compose_mounts_is_there() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert mounts
    for source, _target, *mode in mounts:
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"], source
        else:
            assert source in COMPOSE["volumes"]


def test_prometheus_starts_with_the_file_that_is_mounted() -> None:
    prometheus = SERVICES["prometheus"]
    (mounted,) = [mount for mount in prometheus["volumes"] if mount.startswith("./deploy/prometheus:")]
    option = next(argument for argument in prometheus["command"] if argument.startswith("--config.file="))
    path = Path(option.partition("=")[2])
    assert str(path.parent) == mounted.split(":")[1]
    assert (ROOT / "deploy" / "prometheus" / path.name).is_file()


def test_grafana_asks_the_prometheus_that_compose_starts() -> None:
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert [source["url"] for source in sources["datasources"]] == ["http://prometheus:9090"]
    assert "prometheus" in SERVICES
