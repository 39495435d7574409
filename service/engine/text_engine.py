"""One served model: text requests in, events out. A Ray Serve replica wraps it; tests and scores use it directly.

Knows nothing of Ray or HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import partial

from models.cache import KeyValueCache
from models.checkpoint import Checkpoint
from models.precision import Precision, convert, resolve_device, resolve_precision
from models.tokenizer import IncrementalDetokenizer, Tokenizer
from service.engine.async_engine import AsyncEngine
from service.engine.engine import Engine, Output
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Sequence
from service.engine.stats import Observer
from service.engine.stopping import StopWatch
from service.engine.tasks import REQUESTS, Limits, Task, make_task
from service.errors import Cancelled, DeadlineExceeded, InvalidRequest, ServiceError
from service.messages import Event, Failure, ModelInfo, Request, Timing, Token, TopToken

log = logging.getLogger("triptych.engine")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What an operator may choose; None takes the model's own limit."""

    slots: int = 64
    max_prompt_tokens: int | None = None
    max_new_tokens: int | None = None
    prefill_tokens: int = 4096  # prompt tokens a step may prefill
    max_waiting: int = 1024
    device: str = "auto"
    precision: Precision = "float32"


class TextEngine:
    def __init__(
        self, name: str, checkpoint: Checkpoint, options: EngineOptions, observer: Observer | None = None
    ) -> None:
        """Move the model to its device and allocate the cache. Raises ValueError on a limit the model cannot keep."""
        config, manifest = checkpoint.config, checkpoint.manifest
        device = resolve_device(options.device)
        precision = resolve_precision(options.precision, device)
        parameters = sum(p.numel() for p in checkpoint.model.parameters())
        model, dtype = convert(checkpoint.model, precision, device)
        max_prompt = _limit("max_prompt_tokens", options.max_prompt_tokens, config.max_prompt)
        max_new = _limit("max_new_tokens", options.max_new_tokens, config.max_output)
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
        self._engine = AsyncEngine(
            Engine(runner, scheduler, shape, observer), max_alive=options.slots + options.max_waiting
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
            "%s: %s, %.1f M parameters, %s on %s, %d slots, key/value cache %.1f MiB",
            name,
            self.info.version,
            self.info.parameters / 1e6,
            self.info.precision,
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
                    self._start(request, events)
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
        for request_id in request_ids:
            self._engine.cancel(request_id)

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

    def _start(self, request: Request, events: asyncio.Queue[Event]) -> None:
        if not isinstance(request, self._request_type):
            raise InvalidRequest(f"{self.info.name} answers {self.info.task}, not a {type(request).__name__}")
        sequence = self._task.prepare(request)
        if request.deadline is not None:
            left = request.deadline - time.time()
            if left <= 0:
                raise DeadlineExceeded(
                    f"the deadline passed {-left * 1000:.0f} ms before the request reached the model"
                )
            sequence.deadline = sequence.arrived + left
        watch = sequence.watch
        pieces = watch.pieces() if isinstance(watch, StopWatch) else self._tokenizer.detokenizer()
        detokenizer = pieces if request.stream else None
        self._engine.add(sequence, partial(self._forward, request, detokenizer, events))

    def _forward(
        self, request: Request, detokenizer: IncrementalDetokenizer | None, events: asyncio.Queue[Event], output: Output
    ) -> None:
        """One engine output to its events."""
        sequence = output.sequence
        if detokenizer is not None and output.token is not None:
            events.put_nowait(_token(request.id, output, detokenizer, self._tokenizer))
        if not output.last:
            return
        if output.token is None:
            events.put_nowait(Failure.of(request.id, _error(sequence, output.error)))
        else:
            events.put_nowait(self._task.answer(request, output, _timing(sequence)))


def _token(request_id: str, output: Output, detokenizer: IncrementalDetokenizer, tokenizer: Tokenizer) -> Token:
    assert output.token is not None
    special = output.last and output.sequence.outcome == "eos_token"
    text = "" if special else detokenizer.push(output.token)
    return Token(
        request_id=request_id,
        index=output.index,
        id=output.token,
        text=text + (detokenizer.flush() if output.last else ""),
        logprob=output.logprob if output.logprob is not None else 0.0,
        special=special,
        top_tokens=tuple(_top_token(token, logprob, tokenizer) for token, logprob in output.best),
    )


def _top_token(token: int, logprob: float, tokenizer: Tokenizer) -> TopToken:
    text = tokenizer.decode([token])
    return TopToken(id=token, text=text, logprob=logprob, special=not text)


def _timing(sequence: Sequence) -> Timing:
    started = sequence.started or sequence.arrived
    ended = sequence.token_times[-1] if sequence.token_times else started
    return Timing(queue_ms=(started - sequence.arrived) * 1000, inference_ms=(ended - started) * 1000)


def _error(sequence: Sequence, reason: str | None) -> ServiceError:
    if sequence.outcome == "cancelled":
        return Cancelled("the request was cancelled")
    if sequence.outcome == "deadline":
        return DeadlineExceeded("the deadline passed before the answer was complete")
    log.error("request %s failed: %s", sequence.id, reason)
    return ServiceError("the model failed on this request")


def _limit(name: str, asked: int | None, own: int) -> int:
    if asked is not None and asked > own:
        raise ValueError(f"{name} is {asked}, the model's own limit is {own}")
    return asked or own
