"""One request in the engine: the sequences it takes and the events they become.

Knows nothing of batching, and of how a request is tokenized and an answer is built: that is its task's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from models.tokenizer import Tokenizer
from service.engine.engine import Output
from service.engine.sequence import Sequence
from service.engine.stats import ANSWERED
from service.errors import Cancelled, ServiceError
from service.messages import Event, Failure, Request, Timing, Token, TopToken, check_bounds
from service.messages.deadline import passed, seconds_left
from service.worker.engine_thread import EngineThread
from service.worker.results import primed
from service.worker.stopping import StopWatch
from service.worker.tasks.task import WorkerTask

log = logging.getLogger("triptych.engine")


class EngineRequest:
    """`emit` gets the events of the request, the last of them the terminal one, in the event loop that started it.

    The terminal event comes when all of the request's sequences have ended. Where one fails the others are cancelled,
    and the first failure is the request's.
    """

    def __init__(self, request: Request, task: WorkerTask, emit: Callable[[Event], None], arrived: float) -> None:
        """`arrived` is when the request came, by time.monotonic(). Raises a ServiceError when it cannot be served."""
        self.request = request
        check_bounds(request)
        specs, left = task.prepare(request), seconds_left(request)
        deadline = None if left is None else time.monotonic() + left
        self.sequences = [
            Sequence(replace(spec, arrived=arrived, deadline=deadline, priority=request.priority)) for spec in specs
        ]
        self._task, self._emit = task, emit
        first = self.sequences[0]
        self._stream = first if request.stream and first.spec.beams is None else None
        watch, prefix = first.spec.watch, first.spec.target_prefix
        detokenizer, self._before = primed(task.tokenizer, prefix)  # the text before that of the first token
        self._detokenizer = watch if isinstance(watch, StopWatch) else detokenizer
        self._engine: EngineThread | None = None
        self._ends: dict[str, Output] = {}  # the last output of each sequence that has ended
        self._failure: ServiceError | None = None

    def start(self, engine: EngineThread) -> None:
        """All of the sequences or none: raises what the engine refuses one with, and then there is no event."""
        self._engine = engine
        for sequence in self.sequences:
            try:
                engine.add(sequence, self._take)
            except ServiceError:
                self._emit = lambda event: None  # nobody waits for it
                self.cancel()
                raise

    def cancel(self) -> None:
        """Ends what still runs before the next step; the terminal event comes as always."""
        assert self._engine is not None, f"{self.request.id} was not started"
        for sequence in self.sequences:
            self._engine.cancel(sequence.spec.id)

    def _take(self, output: Output) -> None:
        """One engine output to its events."""
        if output.sequence is self._stream and output.token is not None:
            self._emit(self._token(output))
        if not output.last:
            return
        self._ends[output.sequence.spec.id] = output
        if self._failure is None:
            self._failure = _error(output)
            if self._failure is not None:
                self.cancel()
        if len(self._ends) == len(self.sequences):
            self._emit(self._terminal())

    def _terminal(self) -> Event:
        if self._failure is not None:
            return Failure.of(self.request.id, self._failure)
        ends = [self._ends[sequence.spec.id] for sequence in self.sequences]
        try:
            return self._task.answer(self.request, ends, _timing(self.sequences))
        except Exception:  # our bug, but nobody must wait for ever because of it
            log.exception("the answer to request %s could not be built", self.request.id)
            return Failure.of(self.request.id, ServiceError("the answer could not be built"))

    def _token(self, output: Output) -> Token:
        assert output.token is not None
        special = output.last and output.sequence.outcome == "eos_token"
        text, self._before = self._before + ("" if special else self._detokenizer.push(output.token)), ""
        return Token(
            request_id=self.request.id,
            index=output.index,
            id=output.token,
            text=text + (self._detokenizer.flush() if output.last else ""),
            logprob=output.logprob if output.logprob is not None else 0.0,
            special=special,
            top_tokens=tuple(_top_token(token, logprob, self._task.tokenizer) for token, logprob in output.best),
        )


def _top_token(token: int, logprob: float, tokenizer: Tokenizer) -> TopToken:
    text = tokenizer.decode([token])
    return TopToken(id=token, text=text, logprob=logprob, special=not text)


def _timing(sequences: list[Sequence]) -> Timing:
    """From the arrival to the first step of the first, and from there to the end of the last."""
    arrived = sequences[0].spec.arrived
    started = min(s.started or arrived for s in sequences)
    ended = max((s.token_times[-1] for s in sequences if s.token_times), default=started)
    return Timing(queue_ms=(started - arrived) * 1000, inference_ms=(ended - started) * 1000)


def _error(output: Output) -> ServiceError | None:
    """Why a sequence that has ended has no answer; None where it has one."""
    sequence = output.sequence
    if sequence.outcome in ANSWERED:
        return None
    if sequence.outcome == "cancelled":
        return Cancelled("the request was cancelled")
    if sequence.outcome == "deadline":
        return passed("before the answer was complete")
    log.error("request %s failed: %s", sequence.spec.id, output.error)
    return ServiceError("the model failed on this request")
