"""The served models as the gateway knows them: which serves what, what they say of themselves, whether they answer.

Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from service.config import Settings
from service.errors import NotReady, ServiceError, UnknownModel
from service.gateway.batcher import Batcher
from service.gateway.workers import Worker
from service.messages import ModelInfo, Task
from service.observability.metrics import GatewayMetrics

DESCRIBE_TIMEOUT_S = 5.0
CANARY_TIMEOUT_S = 10.0

log = logging.getLogger("triptych.catalog")


class ServedModel:
    """One worker with its batcher, and what was last heard of it. A failure makes the gateway ask again."""

    def __init__(self, worker: Worker, task: Task, settings: Settings, metrics: GatewayMetrics) -> None:
        self.name = worker.name
        self.task = task
        self.worker = worker
        self.batcher = Batcher(
            worker,
            size=settings.gateway.batch_size,
            wait_s=settings.gateway.batch_wait_ms / 1000,
            on_submit=lambda requests: metrics.batch_submitted(worker.name, requests),
            on_failure=self._doubt,
        )
        self._info: ModelInfo | None = None
        self._answered_canary = False
        self._asking = asyncio.Lock()  # many requests, one question

    async def info(self) -> ModelInfo:
        """What the model says of itself; `NotReady` while it says nothing."""
        if self._info is None:
            try:
                async with asyncio.timeout(DESCRIBE_TIMEOUT_S), self._asking:
                    if self._info is None:
                        self._info = await self.worker.describe()
            except ServiceError:
                raise
            except TimeoutError:
                raise NotReady(f"model {self.name!r} said nothing of itself in {DESCRIBE_TIMEOUT_S:g} s") from None
            except Exception:
                log.exception("describing failed", extra={"model": self.name})
                raise NotReady(f"model {self.name!r} cannot be reached") from None
        return self._info

    async def ready(self) -> None:
        """Return once the model has answered a canary since it last failed; raise `NotReady` otherwise."""
        if self._answered_canary:
            return  # a probe every few seconds should not cost a prompt, and not wait behind the traffic
        try:
            async with asyncio.timeout(CANARY_TIMEOUT_S), self._asking:
                await self.worker.canary()
                self._answered_canary = True
        except NotReady:
            raise
        except TimeoutError:
            raise NotReady(f"no answer to the canary in {CANARY_TIMEOUT_S:g} s") from None
        except Exception as error:
            log.exception("the canary failed", extra={"model": self.name})
            raise NotReady(f"the canary failed with {type(error).__name__}") from None

    def heard(self, version: str | None) -> None:
        """An answer came from `version`: what was known of another one is out of date."""
        if version and self._info is not None and version != self._info.version:
            self._info = None

    def _doubt(self) -> None:
        self._info = None
        self._answered_canary = False


class Catalog:
    """All served models, in the order of the settings."""

    def __init__(self, settings: Settings, workers: Mapping[str, Worker], metrics: GatewayMetrics) -> None:
        if missing := settings.models.keys() - workers.keys():
            raise ValueError(f"no worker for {sorted(missing)}; there are {sorted(workers)}")
        self.models = [
            ServedModel(workers[name], model.task, settings, metrics) for name, model in settings.models.items()
        ]

    def find(self, task: Task, name: str | None) -> ServedModel:
        """The model called `name` among those of `task`; None: the first one."""
        of_task = [model for model in self.models if model.task == task]
        for model in of_task:
            if name in (None, model.name):
                return model
        available = [model.name for model in of_task]
        asked = "no model serves" if name is None else f"no model {name[:80]!r} serves"
        raise UnknownModel(f"{asked} {task}; available: {', '.join(available) or 'none'}", available=available)

    async def close(self) -> None:
        await asyncio.gather(*(model.batcher.close() for model in self.models))
