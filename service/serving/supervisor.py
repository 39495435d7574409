"""The life of a service: start the children, watch them, tell what becomes of them, and end in good order.

Knows nothing of Ray and HTTP: one child holds Ray and the models, the others are gateways.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from types import FrameType

from service.deployments.reports import (
    Deployed,
    Drain,
    Failed,
    GatewaySetup,
    HostSetup,
    Joined,
    Lost,
    Recovered,
    Report,
    Restarts,
)
from service.serving.child import DEAF_TO, Child, end_descendants

DRAIN_S = 5.0  # for running requests at the end
LEAVE_S = 2.0  # for a gateway to end after that
HOST_LEAVES_S = 3.0  # for what is to be taken off a cluster
OFTEN, WITHIN_S = 5, 60.0  # as many ends of one process within that time, and the service gives up
HANGS_S = 15.0  # without a sign of life, and a gateway is ended
TICK_S = 0.5

log = logging.getLogger("triptych.supervisor")


class Signals:
    """The first signal asks for the end, a second one forces it."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._wake, self._woken = socket.socketpair()
        for number in DEAF_TO:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            end_descendants()
            os._exit(128 + number)
        self.received = signal.Signals(number)
        self._woken.send(b"!")

    def fileno(self) -> int:
        """Readable once a signal has come."""
        return self._wake.fileno()


@dataclass(eq=False, kw_only=True)
class Supervisor:
    """Used from one thread: `step` until `failed` says why the service cannot go on, then `stop`."""

    setup: HostSetup  # what the child that holds Ray is told
    listeners: Sequence[socket.socket]  # of the gateways
    environment: Mapping[str, str]  # of all children
    signals: Signals
    on_line: Callable[[str], None]  # gets what the child that holds Ray prints
    on_report: Callable[[Report], None]  # gets what that child says before all models run

    def __post_init__(self) -> None:
        self._restarts = Counter(dict.fromkeys(("gateway", *self.setup.settings.models), 0))
        # When each process ended, to tell a mishap from a state.
        self._ends: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=OFTEN))
        self._joined: Joined | None = None
        self._looked = time.monotonic()
        self.deployed = False
        self.failed: str | None = None
        self._host = Child(
            "Ray's process", "service.deployments.host", self.setup, environment=self.environment, on_line=self.on_line
        )
        self._gateways = [self._new_gateway(number) for number in range(self.setup.settings.gateway.replicas)]

    def _new_gateway(self, number: int) -> Child:
        setup = GatewaySetup(
            settings=self.setup.settings,
            number=number,
            listeners=tuple(each.fileno() for each in self.listeners),
            logs=self.setup.logs,
            restarts=dict(self._restarts),
        )
        gateway = Child(
            f"gateway {number}",
            "service.deployments.server",
            setup,
            environment=self.environment,
            descriptors=[each.fileno() for each in self.listeners],
        )
        if self._joined is not None:
            gateway.tell(self._joined)
        return gateway

    def step(self) -> None:
        """Wait a moment for something to happen and deal with it."""
        wait([self._host.connection, *(each.connection for each in self._gateways), self.signals.fileno()], TICK_S)
        for report in self._host.reports():
            self._hear(report)
        if self.failed is None and not self._host.running:
            self.failed = f"{self._host.name} {self._host.how_it_ended()}"
        self._end_what_hangs()
        for number, gateway in enumerate(self._gateways):
            if self.failed is None and not gateway.running:
                self._replace(number, gateway)

    def _end_what_hangs(self) -> None:
        before, self._looked = self._looked, time.monotonic()
        for gateway in self._gateways:
            gateway.reports()
            if gateway.heard is None:  # it is still starting
                continue
            if self._looked - before > HANGS_S / 2:  # it was us who stood still
                gateway.heard = self._looked
            if self._looked - gateway.heard > HANGS_S and gateway.running:
                log.error("%s has hung for %.0f s and is ended", gateway.name, self._looked - gateway.heard)
                gateway.process.kill()
                gateway.wait(LEAVE_S)

    def _hear(self, report: Report) -> None:
        if not self.deployed:
            self.on_report(report)
        match report:
            case Joined():
                self._joined = report
                self._tell_gateways(report)
            case Deployed():
                self.deployed = True
            case Lost(model, replicas, reason):
                log.error(
                    "%d of %s's replicas ended, others are started", replicas, model, extra={"reason": reason or None}
                )
                for _ in range(replicas):
                    self._count(model, reason)
            case Recovered(model, after_s):
                log.info("all replicas of %s run again after %.0f s", model, after_s)
            case Failed(reason):
                self.failed = reason

    def _replace(self, number: int, gateway: Child) -> None:
        """Connections that come meanwhile wait at the listening socket."""
        how = gateway.how_it_ended()
        log.error("%s %s, another one is started", gateway.name, how)
        self._count("gateway", how)
        if self.failed is None:
            gateway.connection.close()
            self._gateways[number] = self._new_gateway(number)

    def _count(self, process: str, reason: str) -> None:
        self._restarts[process] += 1
        self._tell_gateways(Restarts(dict(self._restarts)))
        ends = self._ends[process]
        ends.append(time.monotonic())
        if len(ends) == OFTEN and ends[-1] - ends[0] < WITHIN_S:
            self.failed = f"{process} ended {OFTEN} times within {WITHIN_S:.0f} s, the last time: {reason}"

    def _tell_gateways(self, message: object) -> None:
        for gateway in self._gateways:
            gateway.tell(message)

    def stop(self) -> None:
        """Finish what runs, then end everything. Takes `DRAIN_S` at most, and a little to end."""
        self._tell_gateways(Drain(DRAIN_S))
        for listener in self.listeners:  # the gateways hold them until they end, so that nobody waits at them in vain
            listener.close()
        until = time.monotonic() + DRAIN_S + LEAVE_S
        for gateway in self._gateways:
            if not gateway.wait(until - time.monotonic()):
                log.warning("%s did not end in time", gateway.name)
        self._host.connection.close()  # which ends it
        self._host.wait(HOST_LEAVES_S if self.setup.address is not None else LEAVE_S)
        end_descendants()
