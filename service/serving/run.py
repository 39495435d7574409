"""`triptych serve`, from the first check to the last word on the terminal."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from service.config import Settings
from service.deployments.environment import environment
from service.deployments.reports import HostSetup
from service.observability.logging import configure_logging
from service.serving import preflight
from service.serving.announcing import announce, failed, warned
from service.serving.asking import ask, local_url
from service.serving.child import adopt_orphans
from service.serving.logs import LogServer
from service.serving.progress import Starting
from service.serving.supervisor import Signals, Supervisor

READY_TIMEOUT_S = 60.0
ASK_TIMEOUT_S = 3.0

# What replicas on a cluster log comes through Ray, with the replica's name before each line.
_THROUGH_RAY = re.compile(r'^(?:\([^)]*\) )?((?:\{"time"|\d\d:\d\d:\d\d [A-Z]+ triptych).*)$')


def run(settings: Settings, address: str | None, console: Console) -> int:
    """Serve until a signal comes. Returns the exit status: 0 after a signal, 1 when the service cannot go on."""
    if settings.log_json is None:
        settings = settings.model_copy(update={"log_json": not console.is_terminal})
    began = time.monotonic()
    signals = Signals()
    try:
        with ExitStack() as stack:
            return _run(settings, address, console, stack, signals, began)
    except preflight.Refused as error:
        failed(console, str(error))
        return 1


def _run(
    settings: Settings, address: str | None, console: Console, stack: ExitStack, signals: Signals, began: float
) -> int:
    ports = filter(None, (settings.port, settings.gateway.operations_port))
    listeners = [stack.enter_context(preflight.listen(settings.host, port)) for port in ports]
    preflight.check_gateway(settings.gateway)
    if warning := preflight.open_to_others(settings):
        warned(console, warning)
    directory = stack.enter_context(preflight.own_folder())
    if address is not None:
        preflight.check_reachable(address)
        weights = {}
    else:  # a cluster's nodes have disks and memory of their own
        if "://" in settings.registry:
            console.print(f"Reading {settings.registry}", soft_wrap=True)
        weights = preflight.check_models(settings)
    logs = stack.enter_context(LogServer(f"{directory}/logs"))
    configure_logging(settings.log_level, json_lines=settings.log_json, path=f"{directory}/logs")
    adopt_orphans()
    console.print("Starting Ray" if address is None else f"Joining the Ray cluster at {address}")
    checkpoints = {name: _said(model.checkpoint, weights.get(name)) for name, model in settings.models.items()}
    listed = ", ".join(f"{name} ({said})" for name, said in checkpoints.items())
    console.print(f"Loading {listed}", markup=False, soft_wrap=True)

    def relay(line: str) -> None:
        if ours := _THROUGH_RAY.match(line):
            logs.write(ours[1].encode())

    with Starting(console, checkpoints, began, own_ray=address is None) as starting:
        supervisor = Supervisor(
            setup=HostSetup(settings=settings, address=address, directory=directory, logs=f"{directory}/logs"),
            listeners=listeners,
            environment=environment(own_ray=address is None),
            signals=signals,
            on_line=relay,
            on_report=starting.tell,
        )
        info = _wait_until_ready(supervisor, settings, signals)
    if info is not None:
        announce(
            local_url(settings), info, time.monotonic() - began, console, needs_key=settings.gateway.keys is not None
        )
    while supervisor.failed is None and signals.received is None:
        supervisor.step()
    if supervisor.failed is not None:
        failed(console, supervisor.failed)
    console.print("Stopping: finishing what is running")
    supervisor.stop()
    console.print("Stopped")
    return 1 if supervisor.failed is not None else 0


def _said(checkpoint: str, weights: int | None) -> str:
    return checkpoint if weights is None else f"{checkpoint}, {weights / 1e6:.1f} MB"


def _wait_until_ready(supervisor: Supervisor, settings: Settings, signals: Signals) -> dict[str, Any] | None:
    """`/info` once `/readyz` is true; None where a signal or a failure comes first."""
    until = time.monotonic() + settings.start_timeout_s
    answer: Any = "the models are still being loaded"
    while supervisor.failed is None and signals.received is None:
        supervisor.step()
        if supervisor.deployed:
            until = min(until, time.monotonic() + READY_TIMEOUT_S)  # later looks do not move it
            status, answer = ask(f"{local_url(settings)}/readyz", timeout_s=ASK_TIMEOUT_S)
            if status == 200:
                return ask(f"{local_url(settings)}/info")[1]
        if time.monotonic() > until:
            supervisor.failed = f"the service was not ready within {settings.start_timeout_s:g} s: {answer}"
    return None
