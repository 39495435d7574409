"""One checkpoint, ready to answer. It never changes: a reload makes another one.

Knows nothing of who calls it, and of Ray or HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import InvalidRequest
from service.messages import ModelInfo, Request
from service.worker.decoding import within_characters
from service.worker.engine_thread import EngineThread
from service.worker.preparation import Preparation
from service.worker.tasks.task import WorkerTask


@dataclass(frozen=True)
class Core:
    info: ModelInfo
    task: WorkerTask
    engine: EngineThread
    preparation: Preparation

    @property
    def alive(self) -> int:
        """Requests that are being tokenized, wait or run."""
        return len(self.preparation) + self.engine.alive

    def characters(self, request: Request) -> int:
        """Of the request's texts; 0 of a request that another task is for."""
        return sum(map(len, self.task.texts(request).values())) if isinstance(request, self.task.REQUEST) else 0

    def check(self, request: Request) -> None:
        """What can be said without reading the text. Raises a ServiceError when the request cannot be served."""
        if not isinstance(request, self.task.REQUEST):
            raise InvalidRequest(f"{self.info.name} answers {self.info.task}, not a {type(request).__name__}")
        for name, text in self.task.texts(request).items():
            within_characters(name, text, self.task.limits.max_characters)
