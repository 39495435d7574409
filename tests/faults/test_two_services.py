"""Two services on one machine, which never answer for each other."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.service import START_TIMEOUT_S, Service


def settings(folder: Path, name: str) -> Path:
    """Of a service whose one model is called `name`."""
    path = folder / f"{name}.yaml"
    path.write_text(f"models: {{{name}: {{task: classify, checkpoint: classifier}}}}\n")
    return path


def poll(url: str) -> str | None:
    """The names of the models that answer at `url`."""
    try:
        answer = httpx.get(f"{url}/info", timeout=30)
    except httpx.HTTPError:
        return None
    return ",".join(sorted(model["name"] for model in answer.json()["models"]))


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_a_port_answers_for_its_own_service_alone_from_start_to_end(
    registry: str, tmp_path: Path, attempt: int
) -> None:
    first, second = (
        Service("--registry", registry, "--config", str(settings(tmp_path, name))) for name in ("mine", "yours")
    )
    try:
        heard: dict[str, set[str | None]] = {first.url: set(), second.url: set()}
        deadline = time.monotonic() + 2 * START_TIMEOUT_S
        while not all("Ctrl-C stops it." in each.output for each in (first, second)):
            assert time.monotonic() < deadline
            for url, names in heard.items():
                names.add(poll(url))
            time.sleep(0.03)
        second.stop()
        for _ in range(40):
            heard[second.url].add(poll(second.url))
            heard[first.url].add(poll(first.url))
            time.sleep(0.03)
    finally:
        first.stop()
        second.kill()
    # None: nobody listens, before the start and after the end.
    assert heard[first.url] | {None} == {"mine", None}
    assert heard[second.url] | {None} == {"yours", None}


@pytest.mark.slow
def test_nobody_else_can_listen_on_the_port_while_the_service_starts(registry: str) -> None:
    first = Service("--registry", registry)
    second = Service("--registry", registry, port=first.port)
    try:
        ended = {each.process.wait(30) for each in (first, second) if each.process.poll() is not None}
        deadline = time.monotonic() + 30
        while not ended and time.monotonic() < deadline:
            ended = {code for each in (first, second) if (code := each.process.poll()) is not None}
            time.sleep(0.05)
        assert ended == {1}
        assert sum("cannot listen on" in each.output for each in (first, second)) == 1
    finally:
        first.stop()
        second.stop()


def test_nothing_but_the_gateway_listens_and_that_where_the_settings_say(service: Service) -> None:
    service.remember_descendants()
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in [*service.processes(""), psutil.Process(service.process.pid)]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert ("127.0.0.1", service.port) in listening
    assert {ip for ip, _ in listening} == {"127.0.0.1"}
