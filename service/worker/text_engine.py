"""One served model: text requests in, events out. A Ray Serve replica wraps it; tests and scores use it directly.

Knows nothing of Ray or HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from collections.abc import Sequence as Many

from models.checkpoint import Checkpoint
from service.engine.stats import Observer
from service.errors import NotReady, ReloadFailed, ServiceError
from service.messages import Detokenize, Event, Failure, ModelInfo, Request, Task, Terminal, TextToken, Tokenize
from service.options import EngineOptions
from service.worker import canary
from service.worker.engine_request import EngineRequest
from service.worker.holding import Held, Holding
from service.worker.loading import Core, Loaded
from service.worker.reload import EXPECTED, finish_running, load_beside, reason_of, start_proved
from service.worker.tokens import detokenized, tokenized

log = logging.getLogger("triptych.engine")

PATIENCE_S = 30.0
AT_ONCE = 1024  # characters of one `submit`: so many are tokenized in about the time of a step, and need no thread


class TextEngine:
    """All but the constructor and `close` is called in one event loop."""

    def __init__(
        self,
        name: str,
        checkpoint: Checkpoint,
        options: EngineOptions,
        observer: Observer | None = None,
        task: Task | None = None,
    ) -> None:
        """Move the model to its device and allocate the cache. `task` is what it was trained for, unless given.

        Raises ValueError on a setting that the model or the memory cannot keep.
        """
        self._name, self._options, self._observer = name, options, observer
        self._requests: dict[str, EngineRequest] = {}  # by id, until its terminal event
        self._holding = Holding(options.max_waiting, observer)
        self._reloading = self._closed = False
        self._core: Core = Loaded.of(name, checkpoint, options, task).start(observer)

    @property
    def info(self) -> ModelInfo:
        return self._core.info

    async def submit(self, requests: Many[Request]) -> AsyncIterator[list[Event]]:
        """Events as they come, several at a time; exactly one terminal event for each request.

        Closing the iterator cancels what is still running.
        """
        events: asyncio.Queue[Event] = asyncio.Queue()
        running: set[str] = set()
        ended = characters = 0
        try:
            for request in requests:
                characters += self._core.characters(request)
                try:
                    self._start(request, events.put_nowait, at_once=characters <= AT_ONCE)
                    running.add(request.id)
                except ServiceError as error:
                    events.put_nowait(Failure.of(request.id, error))
            while ended < len(requests):
                batch = [await events.get()]
                while not events.empty():
                    batch.append(events.get_nowait())
                for event in batch:
                    if isinstance(event, Terminal):
                        ended += 1
                        running.discard(event.request_id)
                yield batch
        finally:
            self.cancel(list(running))

    def cancel(self, request_ids: Many[str]) -> None:
        """Unknown or finished ids are ignored: the race is the caller's normal life."""
        for request_id in request_ids:
            self._holding.cancel(request_id)
            self._core.preparation.cancel(request_id)
            if request_id in self._requests:
                self._requests[request_id].cancel()

    async def answer(self, request: Request) -> Event:
        """The terminal event of one request."""
        async for events in self.submit([request]):
            for event in events:
                if isinstance(event, Terminal):
                    return event
        raise AssertionError("submit ended without a terminal event")

    async def tokenize(self, asked: Tokenize) -> list[list[TextToken]]:
        """The tokens that the model reads of texts, beside whatever runs."""
        return await asyncio.to_thread(tokenized, self._core.task, asked)

    async def detokenize(self, asked: Detokenize) -> list[str]:
        """The texts of tokens. Raises InvalidRequest."""
        return await asyncio.to_thread(detokenized, self._core.task, asked)

    async def canary(self, request_id: str, timeout_s: float = canary.TIMEOUT_S) -> None:
        """Return once the model has shown that it works; raises ServiceError where it does not in `timeout_s`.

        While it has work the end of a step shows it, and nothing is added to that work; idle, it answers a prompt.
        """
        try:
            async with canary.patience(timeout_s):
                if not await self._core.engine.step_ends():
                    await canary.ask(self._core.task, request_id, self._start)
        finally:
            self.cancel([request_id])

    async def reload(self, read: Callable[[], Checkpoint], patience_s: float = PATIENCE_S) -> ModelInfo:
        """Replace the weights by those that `read` returns, without failing a request; what is served now.

        Everything that can go wrong with a checkpoint goes wrong before anybody is interrupted: `read` and the
        conversion run in a thread beside the running model. Then what comes is held, what runs finishes on the old
        weights, for which a reload waits `patience_s` at most, and the new ones answer a canary. Until the end there
        must be memory for both. Not to be cancelled halfway: shield it.

        Raises ReloadFailed, and the old weights go on serving, where any of it fails.
        """
        if self._reloading:
            raise ReloadFailed(f"{self._name} is being reloaded already")
        self._reloading = True
        old = self._core
        try:
            loaded = await asyncio.to_thread(load_beside, self._name, read, self._options, old.info)
            self._holding.close()
            try:
                await finish_running(old, patience_s)
                new = await start_proved(loaded, self._observer)
                if self._closed:
                    await asyncio.to_thread(new.engine.close)
                    raise NotReady("the engine is stopping")
                self._core = new
            finally:
                self._holding.open(self._prepare)
        except Exception as error:
            reason = reason_of(error)
            log.warning("%s was not reloaded: %s", self._name, reason, exc_info=not isinstance(error, EXPECTED))
            raise ReloadFailed(f"{self._name} goes on with {old.info.version}: {reason}") from error
        finally:
            self._reloading = False
        log.info("%s: %s replaced %s", self._name, self.info.version, old.info.version)
        await asyncio.to_thread(old.engine.close)
        return self.info

    @property
    def running(self) -> bool:
        return self._core.engine.running

    def close(self, timeout_s: float = 10.0) -> None:
        """Take no new requests, finish what runs; what is left after `timeout_s` is cancelled. From any thread."""
        self._closed = True
        self._core.engine.close(timeout_s)

    def _start(self, request: Request, emit: Callable[[Event], None], *, at_once: bool = True) -> None:
        """Raises a ServiceError when the request is refused; then there is no event.

        `at_once`: its text is short enough to be tokenized here and now.
        """
        held = Held(request=request, emit=emit)
        if self._holding.closed:
            self._holding.hold(held)
            held.accept()
        elif at_once:
            core = self._core
            core.check(request)
            self._run(core, held, self._made(core, held))
        else:
            self._prepare(held)

    def _prepare(self, held: Held) -> None:
        """A reload waits for it: the core that tokenizes a text runs it."""
        core = self._core
        core.check(held.request)
        core.engine.check_room()
        core.preparation.prepare(held, lambda: self._made(core, held), lambda made: self._run(core, held, made))

    def _made(self, core: Core, held: Held) -> EngineRequest:
        def forward(event: Event) -> None:
            if isinstance(event, Terminal):
                del self._requests[held.request.id]
            held.emit(event)

        return EngineRequest(held.request, core.task, forward, held.arrived, self._observer)

    def _run(self, core: Core, held: Held, request: EngineRequest) -> None:
        request.start(core.engine)
        self._requests[held.request.id] = request
        held.accept()
