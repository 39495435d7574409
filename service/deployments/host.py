"""The process that holds Ray: starts or joins it, deploys the models, and tells the supervisor what becomes of them.

Run as `python -m service.deployments.host FD`; `FD` is its end of the supervisor's pipe, and it ends with that.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

import psutil

from service.deployments.lean import leave_out_tables

if __name__ == "__main__":
    leave_out_tables()

# isort: split
from service.deployments import lifecycle
from service.deployments.reports import Deployed, Failed, HostSetup, Joined, Loading, Lost, Recovered, Report
from service.observability.logging import configure_logging

LOOK_S = 0.5
VITAL = frozenset({"raylet", "gcs_server"})  # the processes of a Ray of our own without which it cannot go on


class Host:
    def __init__(self, setup: HostSetup, tell: Callable[[Report], None]) -> None:
        self._setup, self._tell = setup, tell

    def run(self) -> None:
        """Returns only where the models cannot be served, having said why."""
        setup = self._setup
        try:
            self._tell(Joined(lifecycle.connect(setup.address, setup.settings, setup.directory)))
            logs = setup.logs if setup.address is None else None  # a cluster's replicas cannot reach the socket
            lifecycle.deploy(setup.settings, logs, lambda models: self._tell(Loading(models)))
        except lifecycle.StartError as error:
            self._tell(Failed(str(error)))
            return
        self._tell(Deployed())
        if setup.address is None:
            threading.Thread(target=self._watch_processes, name="processes", daemon=True).start()
        self._watch_models()

    def _watch_processes(self) -> None:
        """Apart from the models: where one of these is gone, a question to Ray may never be answered."""
        vital = {each: each.name() for each in psutil.Process().children() if each.name() in VITAL}
        while True:
            for each, name in vital.items():
                if not each.is_running() or each.status() == psutil.STATUS_ZOMBIE:
                    self._tell(Failed(f"Ray cannot go on: its process {name} has ended"))
                    return
            time.sleep(LOOK_S)

    def _watch_models(self) -> None:
        """Returns where a model has been away for as long as it may take to start, having said so."""
        settings = self._setup.settings
        down_since: dict[str, float] = {}
        before = lifecycle.replicas(settings)
        while True:
            time.sleep(LOOK_S)
            now = lifecycle.replicas(settings)
            for model, state in now.items():
                if state.running < before[model].running and not state.scaling:
                    self._tell(Lost(model, before[model].running - state.running, state.message))
                    down_since.setdefault(model, time.monotonic())
                if model not in down_since:
                    continue
                down_s = time.monotonic() - down_since[model]
                if state.complete:
                    self._tell(Recovered(model, down_s))
                    del down_since[model]
                elif not state.running and down_s > settings.start_timeout_s:
                    reason = f": {state.message}" if state.message else ""
                    self._tell(Failed(f"{model} did not come back within {settings.start_timeout_s:g} s{reason}"))
                    return
            before = now

    def end(self) -> None:
        """Ends this process and all it started; on a cluster, takes the models off it."""
        if self._setup.address is not None:
            lifecycle.withdraw(self._setup.settings)
        for each in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        os._exit(0)


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    setup = connection.recv()
    configure_logging(setup.settings.log_level, json_lines=setup.settings.log_json, path=setup.logs)
    sending = threading.Lock()

    def tell(report: Report) -> None:
        with sending, suppress(OSError):  # the supervisor has gone, which the other thread notices
            connection.send(report)

    host = Host(setup, tell)

    def end_with_supervisor() -> None:
        with suppress(EOFError, OSError):
            while True:
                connection.recv()
        host.end()

    threading.Thread(target=end_with_supervisor, name="supervisor", daemon=True).start()
    host.run()
    threading.Event().wait()  # until the supervisor has seen to the requests that run


if __name__ == "__main__":
    main()
