"""One request in the engine: the sequences it takes and the events they become.

Knows nothing of batching, and of how a request is tokenized and an answer is built: that is its task's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from models.tokenizer import IncrementalDetokenizer, Tokenizer
from service.engine.async_engine import AsyncEngine
from service.engine.engine import Output
from service.engine.sequence import Sequence
from service.engine.stopping import StopWatch
from service.engine.tasks import Task
from service.errors import Cancelled, DeadlineExceeded, ServiceError
from service.messages import Event, Failure, Request, Timing, Token, TopToken

log = logging.getLogger("triptych.engine")


class Call:
    """`emit` gets the events of the request, the last of them the terminal one, in the event loop that started it.

    The terminal event comes when all of the request's sequences have ended. Where one fails the others are cancelled,
    and the first failure is the request's.
    """

    def __init__(self, request: Request, task: Task, tokenizer: Tokenizer, emit: Callable[[Event], None]) -> None:
        """Raises a ServiceError when the request cannot be served."""
        self.request = request
        self.sequences = task.prepare(request)
        self._task, self._tokenizer, self._emit = task, tokenizer, emit
        self._detokenizer = self._stream_of(self.sequences[0]) if request.stream else None
        self._engine: AsyncEngine | None = None
        self._ends: dict[str, Output] = {}  # the last output of each sequence that has ended
        self._failure: ServiceError | None = None
        deadline = _deadline(request)
        for sequence in self.sequences:
            sequence.deadline = deadline

    def start(self, engine: AsyncEngine) -> None:
        """All of the sequences or none: raises what the engine refuses one with, and then there is no event."""
        self._engine = engine
        for sequence in self.sequences:
            try:
                engine.add(sequence, self._take)
            except ServiceError:
                self._emit = _ignore
                self.cancel()
                raise

    def cancel(self) -> None:
        """Ends what still runs before the next step; the terminal event comes as always."""
        assert self._engine is not None, f"{self.request.id} was not started"
        for sequence in self.sequences:
            self._engine.cancel(sequence.id)

    def _take(self, output: Output) -> None:
        """One engine output to its events."""
        if self._detokenizer is not None and output.token is not None:
            self._emit(_token(self.request.id, output, self._detokenizer, self._tokenizer))
        if not output.last:
            return
        self._ends[output.sequence.id] = output
        if self._failure is None:
            self._failure = _error(output)
            if self._failure is not None:
                self.cancel()
        if len(self._ends) == len(self.sequences):
            self._emit(self._terminal())

    def _terminal(self) -> Event:
        if self._failure is not None:
            return Failure.of(self.request.id, self._failure)
        ends = [self._ends[sequence.id] for sequence in self.sequences]
        return self._task.answer(self.request, ends, _timing(self.sequences))

    def _stream_of(self, sequence: Sequence) -> IncrementalDetokenizer:
        assert len(self.sequences) == 1, f"{self.request.id} streams {len(self.sequences)} sequences"
        watch = sequence.watch
        return watch.pieces() if isinstance(watch, StopWatch) else self._tokenizer.detokenizer()


def _ignore(event: Event) -> None:
    """Of a call that was refused: nobody waits for its events."""


def _deadline(request: Request) -> float | None:
    """The request's deadline on the engine's clock. Raises DeadlineExceeded when it has passed."""
    if request.deadline is None:
        return None
    left = request.deadline - time.time()
    if left <= 0:
        raise DeadlineExceeded(f"the deadline passed {-left * 1000:.0f} ms before the request reached the model")
    return time.monotonic() + left


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


def _timing(sequences: list[Sequence]) -> Timing:
    """From the arrival to the first step of the first, and from there to the end of the last."""
    arrived = min(s.arrived for s in sequences)
    started = min(s.started or s.arrived for s in sequences)
    ended = max((s.token_times[-1] for s in sequences if s.token_times), default=started)
    return Timing(queue_ms=(started - arrived) * 1000, inference_ms=(ended - started) * 1000)


def _error(output: Output) -> ServiceError | None:
    """Why a sequence that has ended has no answer; None where it has one."""
    sequence = output.sequence
    if sequence.outcome in ("eos_token", "length", "stop_sequence"):
        return None
    if sequence.outcome == "cancelled":
        return Cancelled("the request was cancelled")
    if sequence.outcome == "deadline":
        return DeadlineExceeded("the deadline passed before the answer was complete")
    log.error("request %s failed: %s", sequence.id, output.error)
    return ServiceError("the model failed on this request")
