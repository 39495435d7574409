"""One served model: text requests in, events out. A Ray Serve replica wraps it; tests and scores use it directly.

Knows nothing of Ray or HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass

from models.cache import KeyValueCache
from models.checkpoint import Checkpoint
from models.precision import Precision, convert, resolve_device, resolve_precision
from service.engine.async_engine import AsyncEngine
from service.engine.calls import Call
from service.engine.engine import Engine
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.stats import Observer
from service.engine.tasks import REQUESTS, Limits, Task, make_task
from service.errors import InvalidRequest, ServiceError
from service.messages import Event, Failure, ModelInfo, Request, Token

log = logging.getLogger("triptych.engine")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What an operator may choose; None takes the model's own limit."""

    slots: int = 64
    max_prompt_tokens: int | None = None
    max_new_tokens: int | None = None
    prefill_tokens: int = 4096  # prompt tokens a step may prefill
    max_waiting: int = 1024  # requests
    max_waiting_tokens: int = 65536  # of their prompts
    device: str = "auto"
    precision: Precision = "auto"


class TextEngine:
    def __init__(
        self, name: str, checkpoint: Checkpoint, options: EngineOptions, observer: Observer | None = None
    ) -> None:
        """Move the model to its device and allocate the cache. Raises ValueError on a limit the model cannot keep."""
        config, manifest = checkpoint.config, checkpoint.manifest
        device = resolve_device(options.device)
        precision, reason = resolve_precision(options.precision, device)
        parameters = sum(p.numel() for p in checkpoint.model.parameters())
        model, dtype = convert(checkpoint.model, precision, device)
        max_prompt = _limit("max_prompt_tokens", options.max_prompt_tokens, config.max_prompt)
        max_new = _limit("max_new_tokens", options.max_new_tokens, config.max_output)
        if options.max_waiting_tokens < max_prompt:
            raise ValueError(
                f"max_waiting_tokens is {options.max_waiting_tokens}, below max_prompt_tokens {max_prompt}: "
                "so long a prompt could never wait"
            )
        shape = config.cache_shape
        shared = shape.layers > 0 and not shape.cross  # prompt and continuation share the positions
        total = min(config.max_prompt + 1, max_prompt + max_new) if shared else None
        cache = KeyValueCache.allocate(
            shape,
            slots=options.slots,
            length=total or max_new,
            source_length=max_prompt if shape.cross else 0,
            dtype=dtype,
            device=device,
        )
        runner = Runner(model, cache, device=device, pad_id=config.pad_id)
        scheduler = Scheduler(slots=options.slots, prefill_tokens=options.prefill_tokens)
        limits = Limits(max_prompt_tokens=max_prompt, max_new_tokens=max_new, max_total_tokens=total)
        self._task: Task = make_task(checkpoint, limits)
        self._tokenizer = checkpoint.tokenizer
        self._request_type = REQUESTS[manifest.task]
        self._calls: dict[str, Call] = {}  # by the request's id, until its terminal event
        self._engine = AsyncEngine(
            Engine(runner, scheduler, shape, observer),
            max_alive=options.slots + options.max_waiting,
            max_waiting_tokens=options.max_waiting_tokens,
        )
        self.info = ModelInfo(
            name=name,
            task=manifest.task,
            version=f"{manifest.name}@{manifest.version}",
            architecture=config.architecture,
            parameters=parameters,
            device=str(device),
            precision=precision,
            slots=options.slots,
            max_prompt_tokens=max_prompt,
            max_new_tokens=max_new,
            language_pairs=tuple((s, t) for s, t in manifest.language_pairs),
            labels=tuple(manifest.labels),
            scores=dict(manifest.scores),
            licence=manifest.licence,
        )
        log.info(
            "%s: %s, %.1f M parameters, %s (%s) on %s, %d slots, key/value cache %.1f MiB",
            name,
            self.info.version,
            self.info.parameters / 1e6,
            precision,
            reason,
            device,
            options.slots,
            cache.nbytes / 2**20,
        )

    async def submit(self, requests: Many[Request]) -> AsyncIterator[list[Event]]:
        """Events as they come, several at a time; exactly one terminal event for each request.

        Closing the iterator cancels what is still running.
        """
        events: asyncio.Queue[Event] = asyncio.Queue()
        running: set[str] = set()
        ended = 0
        try:
            for request in requests:
                try:
                    self._start(request, events.put_nowait)
                    running.add(request.id)
                except ServiceError as error:
                    events.put_nowait(Failure.of(request.id, error))
            while ended < len(requests):
                batch = [await events.get()]
                while not events.empty():
                    batch.append(events.get_nowait())
                for event in batch:
                    if not isinstance(event, Token):
                        ended += 1
                        running.discard(event.request_id)
                yield batch
        finally:
            self.cancel(list(running))

    def cancel(self, request_ids: Many[str]) -> None:
        """Unknown or finished ids are ignored: the race is the caller's normal life."""
        for request_id in request_ids:
            if request_id in self._calls:
                self._calls[request_id].cancel()

    async def answer(self, request: Request) -> Event:
        """The terminal event of one request."""
        async for events in self.submit([request]):
            for event in events:
                if not isinstance(event, Token):
                    return event
        raise AssertionError("submit ended without a terminal event")

    @property
    def running(self) -> bool:
        return self._engine.running

    def close(self, timeout_s: float = 10.0) -> None:
        self._engine.close(timeout_s)

    def _start(self, request: Request, emit: Callable[[Event], None]) -> None:
        if not isinstance(request, self._request_type):
            raise InvalidRequest(f"{self.info.name} answers {self.info.task}, not a {type(request).__name__}")

        def forward(event: Event) -> None:
            if not isinstance(event, Token):
                del self._calls[request.id]
            emit(event)

        call = Call(request, self._task, self._tokenizer, forward)
        call.start(self._engine)
        self._calls[request.id] = call


def _limit(name: str, asked: int | None, own: int) -> int:
    if asked is not None and asked > own:
        raise ValueError(f"{name} is {asked}, the model's own limit is {own}")
    return asked or own
