"""The supervisor over children that are real processes but hold neither Ray nor a gateway. The whole is in
tests/e2e/test_life_cycle.py and tests/faults."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.config import Settings
from service.deployments.reports import Deployed, HostSetup, Joined, Loading, Report
from service.serving import supervisor
from service.serving.child import DEAF_TO, Child, end_descendants
from service.serving.supervisor import Signals, Supervisor

ROOT = Path(__file__).resolve().parents[3]
HOST = """
import sys
from multiprocessing.connection import Connection
from service.deployments.reports import Deployed, Joined, Loading, Lost
connection = Connection(int(sys.argv[1]))
setup = connection.recv()
if setup.address == "ends":
    sys.exit("it went wrong")
for report in (Loading(("generator",)), Joined("here:1"), Deployed()):
    connection.send(report)
for _ in range(5 if setup.address == "loses" else 0):
    connection.send(Lost("generator", 1, "out of memory"))
try:
    connection.recv()
except EOFError:
    pass
"""
GATEWAY = """
import os, sys
from multiprocessing.connection import Connection
from pathlib import Path
from service.deployments.reports import Alive, Drain
connection = Connection(int(sys.argv[1]))
setup = connection.recv()
heard = Path(setup.logs, str(os.getpid())).open("w", buffering=1)
print("gateway", setup.number, sum(setup.restarts.values()), "restarts", file=heard)
connection.send(Alive())
while True:
    message = connection.recv()
    print(message, file=heard)
    if isinstance(message, Drain):
        break
"""
MODULES = {"service.deployments.host": "a_host", "service.deployments.server": "a_gateway"}


class Stand:
    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self._folder, self._listener = folder, listener
        self.reports: list[Report] = []
        (folder / "a_host.py").write_text(HOST)
        (folder / "a_gateway.py").write_text(GATEWAY)
        (folder / "heard").mkdir()

    def start(self, host: str) -> Supervisor:
        """With a process in Ray's place that serves, ends, or loses replicas."""
        return Supervisor(
            setup=HostSetup(
                settings=Settings(), address=host, directory=str(self._folder), logs=str(self._folder / "heard")
            ),
            listeners=[self._listener],
            environment={**os.environ, "PYTHONPATH": f"{self._folder}{os.pathsep}{ROOT}"},
            signals=Signals(),
            on_line=lambda line: None,
            on_report=self.reports.append,
        )

    def heard(self, gateway: Child) -> list[str]:
        """What the gateway process was started with and told."""
        path = self._folder / "heard" / str(gateway.process.pid)
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    def child(name: str, module: str, setup: object, **options: Any) -> Child:
        return Child(name, MODULES[module], setup, **options)

    monkeypatch.setattr(supervisor, "Child", child)
    before = {number: signal.getsignal(number) for number in DEAF_TO}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Stand(tmp_path, listener)
    end_descendants()
    for number, handler in before.items():
        signal.signal(number, handler)


def step_until(running: Supervisor, condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, running.failed
        running.step()


def test_a_gateway_that_ended_is_started_anew_with_all_it_has_to_know_and_drained_at_the_end(stand: Stand) -> None:
    running = stand.start("serves")
    (first,) = running._gateways
    step_until(running, lambda: running.deployed and len(stand.heard(first)) == 2)
    assert stand.heard(first) == ["gateway 0 0 restarts", "Joined(address='here:1')"]
    assert stand.reports == [Loading(("generator",)), Joined("here:1"), Deployed()]
    first.process.kill()
    step_until(running, lambda: running._gateways != [first] and stand.heard(running._gateways[0]))
    (second,) = running._gateways
    running.stop()
    assert stand.heard(second) == ["gateway 0 1 restarts", "Joined(address='here:1')", "Drain(timeout_s=5.0)"]
    assert (second.running, running._host.running, running.failed) == (False, False, None)
    assert running._host.how_it_ended() == "ended with status 0"


def test_without_the_process_that_holds_ray_it_cannot_go_on(stand: Stand) -> None:
    running = stand.start("ends")
    step_until(running, lambda: running.failed)
    assert str(running.failed).startswith("Ray's process ended with status 1")
    assert not running.deployed


def test_a_model_whose_replicas_end_again_and_again_is_given_up_and_gateways_hear_how_often(stand: Stand) -> None:
    running = stand.start("loses")
    (gateway,) = running._gateways
    step_until(running, lambda: running.failed)
    assert running.failed == "generator ended 5 times within 60 s, the last time: out of memory"
    running.stop()
    told = [line for line in stand.heard(gateway) if line.startswith("Restarts")]
    assert [f"'generator': {count}" in line for count, line in enumerate(told, 1)] == [True] * 5


def test_the_first_signal_asks_for_the_end_and_can_be_waited_for(stand: Stand) -> None:
    signals = Signals()
    assert signals.received is None
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == signal.SIGTERM
    assert os.read(signals.fileno(), 1) == b"!"
