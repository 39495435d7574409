from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from service.config import GatewaySettings, ModelSettings, Settings
from service.gateway.app import create_app
from service.gateway.connections import Connections, Server
from service.observability.metrics import GatewayMetrics
from tests.service.gateway.documented import Documented
from tests.service.gateway.fakes import FakeWorker
from tests.waiting import wait_for

MODELS = {
    "translator": "translate",
    "generator": "generate",
    "second-generator": "generate",
    "classifier": "classify",
    "embedder": "embed",
}


@dataclass
class Stand:
    """A gateway over fake workers."""

    limits: dict[str, Any] = field(default_factory=dict)
    served: dict[str, Any] = field(default_factory=dict)  # settings of every model
    state: Path = field(default_factory=lambda: Path(tempfile.gettempdir()) / f"no-state-{uuid4()}")  # nobody makes it

    def __post_init__(self) -> None:
        self.workers = {name: FakeWorker(name, task) for name, task in MODELS.items()}
        if "second-generator" in MODELS:
            self.chatter.info = replace(self.chatter.info, takes_messages=True)
        self.metrics = GatewayMetrics(list(MODELS))
        models = {name: ModelSettings(task=task, checkpoint=name, **self.served) for name, task in MODELS.items()}
        settings = Settings(models=models, state=self.state, gateway=GatewaySettings(**self.limits))
        self.app: FastAPI = create_app(settings, self.workers, self.metrics)

    @property
    def translator(self) -> FakeWorker:
        return self.workers["translator"]

    @property
    def generator(self) -> FakeWorker:
        return self.workers["generator"]

    @property
    def chatter(self) -> FakeWorker:
        """The one that has a chat template."""
        return self.workers["second-generator"]

    @property
    def classifier(self) -> FakeWorker:
        return self.workers["classifier"]

    @property
    def embedder(self) -> FakeWorker:
        return self.workers["embedder"]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with (
            self.app.router.lifespan_context(self.app),
            httpx.AsyncClient(
                transport=transport, base_url="http://gateway", event_hooks={"response": [Documented(self.app)]}
            ) as client,
        ):
            yield client

    @contextmanager
    def server(self, *also: socket.socket) -> Iterator[str]:
        """A real server on a loopback port, and on those that listen `also`, in a thread of its own."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1000)
            server = Server(self.app, Connections(1000))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener, *also]}, daemon=True)
            thread.start()
            wait_for(lambda: server.started, seconds=20)
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join(10)

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def stand() -> Stand:
    return Stand()


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[httpx.AsyncClient]:
    async with stand.client() as client:
        yield client


@pytest.fixture
def server(stand: Stand) -> Iterator[str]:
    with stand.server() as url:
        yield url
