"""A gateway process: the ASGI application on the service's listening socket, with the models behind Ray handles.

Run as `python -m service.deployments.server FD`; `FD` is its end of the supervisor's pipe. It answers from its first
second, that it is not ready at first, and ends when it is told to or when the supervisor has gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from service.deployments.lean import leave_out_tables

if __name__ == "__main__":
    leave_out_tables()

# isort: split
import ray
import uvicorn
from ray import serve

from service.deployments.lifecycle import NAMESPACE, application_of
from service.deployments.reports import BEAT_S, Alive, Drain, GatewaySetup, Joined, Restarts
from service.deployments.worker import RayWorker
from service.gateway.app import create_app
from service.gateway.connections import Connections, Server, connection_limit
from service.observability.logging import configure_logging
from service.observability.metrics import GatewayMetrics

ORPHANED_DRAIN_S = 5.0
LINGER_S = 0.3

log = logging.getLogger("triptych.gateway")


class GatewayServer:
    def __init__(self, setup: GatewaySetup) -> None:
        settings = setup.settings
        self._listeners = [socket.socket(fileno=each) for each in setup.listeners]
        self._workers = {name: RayWorker(name) for name in settings.models}
        self._metrics = GatewayMetrics(list(settings.models), f"gateway-{setup.number}")
        self._app = create_app(settings, self._workers, self._metrics)
        self._connections = Connections(connection_limit(settings.gateway.max_connections))
        self._draining: asyncio.Task[None] | None = None
        self._server = Server(self._app, self._connections)
        self._restarted(Restarts(setup.restarts))

    async def run(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()

        def listen() -> None:
            with suppress(EOFError, OSError, RuntimeError):  # the supervisor has gone, or the loop has ended
                try:
                    while True:
                        loop.call_soon_threadsafe(self._obey, connection.recv())
                finally:
                    loop.call_soon_threadsafe(self._obey, Drain(ORPHANED_DRAIN_S))

        threading.Thread(target=listen, name="supervisor", daemon=True).start()
        beating = asyncio.create_task(self._beat(connection))
        await self._server.serve(sockets=self._listeners)
        beating.cancel()

    async def _beat(self, connection: Connection) -> None:
        with suppress(OSError):  # the supervisor has gone
            while True:
                connection.send(Alive())
                await asyncio.sleep(BEAT_S)

    def _obey(self, command: Joined | Restarts | Drain) -> None:
        match command:
            case Joined(address):
                arguments = (address, asyncio.get_running_loop())
                threading.Thread(target=self._connect, args=arguments, name="connect", daemon=True).start()
            case Restarts():
                self._restarted(command)
            case Drain(timeout_s):
                self._draining = self._draining or asyncio.create_task(self._drain(timeout_s))

    def _restarted(self, restarts: Restarts) -> None:
        for process, total in restarts.totals.items():
            self._metrics.restarted(process, total)

    def _connect(self, address: str, loop: asyncio.AbstractEventLoop) -> None:
        """Takes a second or two, in which the gateway answers that it is not ready."""
        try:
            ray.init(address=address, namespace=NAMESPACE, logging_level=logging.WARNING, log_to_driver=False)
            logging.getLogger("ray.serve").setLevel(logging.WARNING)
            for name, worker in self._workers.items():
                # It need not be deployed yet. The handle belongs to the event loop that uses it.
                handle = serve.get_deployment_handle(name, application_of(name), _check_exists=False)
                loop.call_soon_threadsafe(worker.connect, handle)
            gc.freeze()  # what is there now stays: looking through it again takes tenths of a second
        except Exception:
            log.exception("Ray at %s cannot be reached", address)
            os._exit(1)  # the supervisor starts another one, or gives up

    async def _drain(self, timeout_s: float) -> None:
        left = await self._app.state.admission.drain(timeout_s)
        if left:
            log.warning("%d texts were not answered in %g s", left, timeout_s)
        self._server.stop_listening()
        # Who has just connected may have sent a request, which is to be refused in words.
        until = asyncio.get_running_loop().time() + LINGER_S
        while self._connections.open and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
        self._server.should_exit = True


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    setup = connection.recv()
    configure_logging(setup.settings.log_level, json_lines=setup.settings.log_json, path=setup.logs)
    server = GatewayServer(setup)
    with asyncio.Runner(loop_factory=uvicorn.Config(app="", loop="auto").get_loop_factory()) as runner:
        runner.run(server.run(connection))
        os._exit(0)  # Ray's own goodbye takes seconds


if __name__ == "__main__":
    main()
