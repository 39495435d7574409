"""The servers that `gateway` and `flood` ask, each a process: `python -m loadtests.bench.gateway_servers KIND`.

`gateway` is the real one, in front of a classifier in its own process that answers at once. `echo` is the least that
the same HTTP server can do: an ASGI application that sends a body back. `full` is the gateway over a model that has
room for few, and keeps them for some seconds. The port is printed.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from service.config import ModelSettings, Settings
from service.gateway.app import create_app
from service.gateway.connections import Connections, Server, connection_limit
from service.messages import Classification, Event, ModelInfo, Request
from service.observability.metrics import GatewayMetrics

NAME = "classifier"
SLOTS, SLOW_S = 16, 3.0  # of the model that is full: as many may wait
INFO = ModelInfo(
    name=NAME,
    task="classify",
    version=f"{NAME}@1",
    architecture="none",
    parameters=0,
    device="cpu",
    precision="float32",
    slots=1024,
    max_prompt_tokens=512,
    max_new_tokens=1,
    labels=("no", "yes"),
)


class FreeWorker:
    """A model that costs nothing."""

    name = NAME

    async def submit(self, requests: Sequence[Request]) -> AsyncIterator[list[Event]]:
        yield [
            Classification(
                request_id=each.id, scores=(("yes", 0.75), ("no", 0.25)), prompt_tokens=4, model_version=INFO.version
            )
            for each in requests
        ]

    async def cancel(self, request_ids: Sequence[str]) -> None:
        pass

    async def describe(self) -> ModelInfo:
        return INFO

    async def canary(self) -> None:
        pass

    async def reload(self, reference: str | None) -> ModelInfo:
        return INFO

    async def metrics(self) -> list[tuple[str, bytes]]:
        return []


class SlowWorker(FreeWorker):
    """One that costs nothing either, and takes its time."""

    async def submit(self, requests: Sequence[Request]) -> AsyncIterator[list[Event]]:
        await asyncio.sleep(SLOW_S)
        async for events in super().submit(requests):
            yield events


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message.get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def gateway(worker: FreeWorker, **room: int) -> ASGIApp:
    models = {NAME: ModelSettings(task="classify", checkpoint=NAME, **room)}
    settings = Settings(models=models, state=Path(tempfile.gettempdir()) / "triptych-bench")
    return create_app(settings, {NAME: worker}, GatewayMetrics([NAME]))


GATEWAYS = {
    "gateway": lambda: gateway(FreeWorker(), slots=INFO.slots),
    "full": lambda: gateway(SlowWorker(), slots=SLOTS, max_waiting=SLOTS),
}


def main() -> None:
    if make := GATEWAYS.get(sys.argv[1]):
        server: uvicorn.Server = Server(make(), Connections(connection_limit(4096)))
    else:
        server = uvicorn.Server(uvicorn.Config(echo, ws="none", lifespan="off", log_config=None, access_log=False))
    gc.freeze()  # as the service does
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
