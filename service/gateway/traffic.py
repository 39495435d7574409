"""What every protocol works with, and how it has its calls answered: in words of its own, through parts of all.

A protocol says what a call asks for (`Asked`); `prepare` refuses what can be refused without asking a worker, and
makes the call, which `Answering` answers or `streaming` streams. Knows nothing of bodies and of how answers look.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from service.config import GatewaySettings
from service.errors import Overloaded
from service.gateway.access import Access, priority_for
from service.gateway.admission import Admission
from service.gateway.answering import Answering, Call
from service.gateway.catalogue import Catalogue
from service.gateway.context import RequestContext, timeout_s
from service.gateway.detection import Detection, Ranking, ToDetect
from service.gateway.glossaries import Entries
from service.gateway.keys import Key
from service.gateway.limits import NamedText, check_lengths, check_total
from service.messages import ModelInfo, Task
from service.messages import Request as WorkerRequest
from service.messages.deadline import deadline_in, unanswered
from service.observability.metrics import GatewayMetrics


class Envelope:
    """What the requests of one call have besides their contents: ids, their deadline, and whether they stream.

    And the ranking of each text's languages, where that was asked for, and the glossaries that there are.
    """

    def __init__(
        self,
        request_id: str,
        left_s: float,
        *,
        stream: bool = False,
        key: Key | None = None,
        detected: Sequence[Ranking] = (),
        glossaries: Mapping[str, Entries] | None = None,
    ) -> None:
        # The client may use its id again while the first request is alive; ours must not collide.
        self._prefix = f"{request_id}.{random.getrandbits(32):08x}"
        self._deadline = deadline_in(left_s)
        self._stream, self._key = stream, key
        self.detected = detected
        self.glossaries = glossaries or {}

    def of(self, index: int, priority: int | None = None) -> dict[str, Any]:
        """Arguments of the request that is made of the call's text `index`. Raises Forbidden, see `priority_for`."""
        return {
            "id": f"{self._prefix}.{index}",
            "stream": self._stream,
            "deadline": self._deadline,
            "priority": priority_for(self._key, priority),
        }

    def patient(self, index: int, priority: int) -> dict[str, Any]:
        """The same for work that nobody waits for: as urgent as that, or less where the key may not be."""
        return self.of(index, max(priority, priority_for(self._key, None)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one HTTP call asks for."""

    task: Task
    model: str | None  # the name of one; None: the first that serves the task
    inputs: int  # each of them gets an answer
    texts: Sequence[NamedText]  # of which none may be longer than the model has room for
    requests: Callable[[ModelInfo, Envelope], Sequence[WorkerRequest]]  # one for each input; may refuse the call
    tokens: bool = False  # the worker is to send each of them
    detect: Callable[[ModelInfo], ToDetect | None] = lambda info: None  # before; may refuse the call
    called: Callable[[str], str] = str  # how the client knows a parameter of a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    settings: GatewaySettings
    catalogue: Catalogue
    access: Access
    admission: Admission
    answering: Answering
    detection: Detection
    glossaries: Mapping[str, Entries]
    state: Path  # a folder for what outlives a restart; it need not be there
    metrics: GatewayMetrics

    @property
    def max_inputs(self) -> int:
        """Texts that one call may have, at most."""
        return min(self.settings.max_inputs, self.settings.max_in_flight)

    async def prepare(self, request: Request, asked: Asked) -> Call:
        """Everything that can be refused without asking a worker, refused, and the call that remains."""
        context = RequestContext.of(request.scope)
        context.texts = asked.inputs
        return await self.call(context, timeout_s(request.headers, self.settings.request_timeout_s), asked)

    async def call(self, context: RequestContext, timeout: float, asked: Asked) -> Call:
        """The same for who asks without a request of its own: `timeout` counts from when its context was made."""
        check_total(asked.texts, self.settings.max_characters)
        model = self.catalogue.find(asked.task, asked.model)
        context.model = model.name
        info = await model.info()
        context.model_version = info.version
        check_lengths(asked.texts, info)
        to_detect = asked.detect(info)
        detected = [] if to_detect is None else await self.detect(to_detect, context, timeout)
        envelope = Envelope(
            context.request_id,
            context.left_s(timeout),
            stream=asked.tokens,
            key=context.key,
            detected=detected,
            glossaries=self.glossaries,
        )
        return Call(
            context=context,
            model=model,
            requests=asked.requests(info, envelope),
            timeout_s=timeout,
            detected=[ranking[0] for ranking in detected],
            called=asked.called,
        )

    async def detect(self, asked: ToDetect, context: RequestContext, timeout_s: float) -> list[Ranking]:
        """The languages of texts."""
        async with self.room(len(asked.texts), context, timeout_s):
            return await self.detection.rank(asked)

    @asynccontextmanager
    async def room(self, texts: int, context: RequestContext, timeout_s: float) -> AsyncIterator[None]:
        """In the gateway, for texts that no step of a model answers, as those have it that are; and their deadline."""
        try:
            with self.admission.admit(None, texts):
                async with asyncio.timeout(context.left_s(timeout_s)):
                    yield
        except Overloaded:
            self.metrics.refused("gateway")
            raise
        except TimeoutError:
            raise unanswered(timeout_s) from None
