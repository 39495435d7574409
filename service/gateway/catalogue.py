"""The served models as the gateway knows them: which serves what, what they say of themselves, whether they live.

Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from service.config import Settings
from service.errors import NotReady, UnknownModel
from service.gateway.batcher import Batcher
from service.gateway.readiness import WATCH_EVERY_S, Readiness
from service.gateway.workers import Worker
from service.messages import ModelInfo, Task
from service.observability.metrics import GatewayMetrics


class ServedModel:
    """One worker with its batcher, what it says of itself, and whether it lives: after a failure it is asked again."""

    def __init__(self, worker: Worker, task: Task, settings: Settings, metrics: GatewayMetrics) -> None:
        self.name = worker.name
        self.task = task
        self.worker = worker
        model = settings.models[worker.name]
        # Texts that all replicas together can run or let wait: what is more would only wait somewhere on the way.
        self.capacity = model.max_replicas * (model.slots + model.max_waiting)
        self.readiness = Readiness(worker.name, self._question, lambda ready: metrics.model_ready(worker.name, ready))
        self.batcher = Batcher(
            worker,
            size=settings.gateway.batch_size,
            wait_s=settings.gateway.batch_wait_ms / 1000,
            on_submit=lambda requests: metrics.batch_submitted(worker.name, requests),
            on_life=self.readiness.heard,
            on_failure=self._doubt,
        )
        self._info: ModelInfo | None = None

    async def info(self) -> ModelInfo:
        """What the model says of itself; `NotReady`, and at once, of one that is known to be dead."""
        if self._info is None and self.readiness.refusal() is None:
            await self.readiness.answer()
        if refusal := self.readiness.refusal():
            raise refusal
        if self._info is None:
            raise NotReady(f"model {self.name!r} says nothing of itself", retry_after_s=self.readiness.retry_after_s())
        return self._info

    def heard(self, version: str | None) -> None:
        """An answer came from `version`: what was known of another one is out of date."""
        if version and self._info is not None and version != self._info.version:
            self._info = None

    async def close(self) -> None:
        await asyncio.gather(self.batcher.close(), self.readiness.close())

    async def _question(self) -> None:
        await self.worker.canary()
        if self._info is None:  # asked last: what was known may have been forgotten in the meantime
            self._info = await self.worker.describe()

    def _doubt(self) -> None:
        self._info = None
        self.readiness.doubt()


class Catalogue:
    """All served models, in the order of the settings."""

    def __init__(self, settings: Settings, workers: Mapping[str, Worker], metrics: GatewayMetrics) -> None:
        if missing := settings.models.keys() - workers.keys():
            raise ValueError(f"no worker for {sorted(missing)}; there are {sorted(workers)}")
        self.models = [
            ServedModel(workers[name], model.task, settings, metrics) for name, model in settings.models.items()
        ]

    def of_task(self, task: str) -> list[ServedModel]:
        return [model for model in self.models if model.task == task]

    def find(self, task: Task, name: str | None) -> ServedModel:
        """The model called `name` among those of `task`; None: the first one."""
        of_task = self.of_task(task)
        for model in of_task:
            if name in (None, model.name):
                return model
        available = [model.name for model in of_task]
        asked = "no model serves" if name is None else f"no model {name[:80]!r} serves"
        other = next((f" (it serves {model.task})" for model in self.models if model.name == name), "")
        raise UnknownModel(f"{asked} {task}{other}; available: {', '.join(available) or 'none'}", available=available)

    def any(self, name: str | None) -> ServedModel:
        """The model called `name`, whatever it does; None: the first one."""
        for model in self.models:
            if name in (None, model.name):
                return model
        available = [model.name for model in self.models]
        message = f"there is no model {name and name[:80]!r}; available: {', '.join(available)}"
        raise UnknownModel(message, available=available)

    async def infos(self, task: Task, name: str | None) -> list[ModelInfo]:
        """Of the model called `name`, or of all of `task` that say something at present; `NotReady` where none does."""
        models = [self.find(task, name)] if name is not None else self.of_task(task) or [self.find(task, None)]
        told = await asyncio.gather(*(model.info() for model in models), return_exceptions=True)
        if not any(isinstance(one, ModelInfo) for one in told):
            raise next(one for one in told if isinstance(one, BaseException))
        return [one for one in told if isinstance(one, ModelInfo)]

    async def watch(self) -> None:
        """Keep what is known of every model fresh, for ever."""
        while True:
            for model in self.models:
                model.readiness.watch()
            await asyncio.sleep(WATCH_EVERY_S)

    async def close(self) -> None:
        await asyncio.gather(*(model.close() for model in self.models))
