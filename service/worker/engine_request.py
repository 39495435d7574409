"""One request in the engine: the sequences it takes and the events they become.

Knows nothing of batching, and of how a request is tokenized and an answer is built: that is its task's.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from service.engine.engine import Output
from service.engine.sequence import Sequence, SequenceSpec
from service.engine.stats import ANSWERED, NoObserver, Observer, RequestStats
from service.errors import Cancelled, ServiceError
from service.messages import Event, Failure, Request, Timing, check_bounds
from service.messages.deadline import passed, seconds_left
from service.worker.engine_thread import EngineThread
from service.worker.tasks.task import EndedPart, WorkerTask
from service.worker.token_stream import TokenStream

log = logging.getLogger("triptych.engine")


class EngineRequest:
    """`emit` gets the events of the request, the last of them the terminal one, in the event loop that started it.

    The terminal event comes when all of the request's sequences have ended. Where one fails the others are cancelled,
    and the first failure is the request's.
    """

    def __init__(
        self,
        request: Request,
        task: WorkerTask,
        emit: Callable[[Event], None],
        arrived: float,
        observer: Observer | None = None,
    ) -> None:
        """`arrived` is when the request came, by time.monotonic(). Raises a ServiceError when it cannot be served."""
        self.request, self._arrived, self._observer = request, arrived, observer or NoObserver()
        check_bounds(request)
        parts, left = task.prepare(request), seconds_left(request)
        deadline = None if left is None else time.monotonic() + left
        streams = request.stream and task.streams(request)
        numbers = itertools.count()

        def sequence(spec: SequenceSpec) -> Sequence:
            number = next(numbers)
            name = f"{request.id}+{number}" if number else request.id
            return Sequence(
                replace(spec, id=name, arrived=arrived, deadline=deadline, priority=request.priority, streamed=streams)
            )

        self._parts = [(part, [sequence(spec) for spec in part.specs]) for part in parts]
        self.sequences = [each for _, sequences in self._parts for each in sequences]
        self._task, self._emit = task, emit
        self._stream = TokenStream(request.id, self._parts, task.tokenizer) if streams else None
        self._engine: EngineThread | None = None
        self._ends: dict[str, Output] = {}  # the last output of each sequence that has ended
        self._failed: Output | None = None  # the first of them that has no answer

    def start(self, engine: EngineThread) -> None:
        """Raises what the engine refuses it with, and then there is no event."""
        self._engine = engine
        if self.sequences:
            engine.add(self.sequences, self._take)
        else:  # not now: who starts it is told of it first
            asyncio.get_running_loop().call_soon(self._end)

    def cancel(self) -> None:
        """Ends what still runs before the next step; the terminal event comes as always."""
        assert self._engine is not None, f"{self.request.id} was not started"
        for sequence in self.sequences:
            self._engine.cancel(sequence.spec.id)

    def _take(self, output: Output) -> None:
        """One engine output to its events."""
        for token in () if self._stream is None else self._stream.take(output):
            self._emit(token)
        if not output.last:
            return
        self._ends[output.sequence.spec.id] = output
        if self._failed is None and output.sequence.outcome not in ANSWERED:
            self._failed = output
            self.cancel()
        if len(self._ends) == len(self.sequences):
            self._end()

    def _end(self) -> None:
        self._observer.observe_request(self._stats(time.monotonic()))
        self._emit(self._terminal())

    def _stats(self, now: float) -> RequestStats:
        if not self.sequences:
            return RequestStats(outcome="eos_token", stage="finished", total_s=now - self._arrived)
        of_each = [sequence.stats(now) for sequence in self.sequences]
        outcomes = [stats.outcome for stats in of_each] if self._failed is None else [self._failed.sequence.outcome]
        outcome = next((each for each in outcomes if each not in (None, "eos_token")), None) or "eos_token"
        return RequestStats.of_sequences(outcome, of_each)

    def _terminal(self) -> Event:
        if self._failed is not None:
            return Failure.of(self.request.id, _error(self._failed))
        ended = [EndedPart(part, [self._ends[s.spec.id] for s in sequences]) for part, sequences in self._parts]
        try:
            return self._task.answer(self.request, ended, _timing(self.sequences))
        except Exception:  # our bug, but nobody must wait for ever because of it
            log.exception("the answer to request %s could not be built", self.request.id)
            return Failure.of(self.request.id, ServiceError("the answer could not be built"))


def _timing(sequences: list[Sequence]) -> Timing:
    """From the arrival to the first step of the first, and from there to the end of the last."""
    if not sequences:
        return Timing()
    arrived = sequences[0].spec.arrived
    started = min(s.started or arrived for s in sequences)
    ended = max((s.token_times[-1] for s in sequences if s.token_times), default=started)
    return Timing(queue_ms=(started - arrived) * 1000, inference_ms=(ended - started) * 1000)


def _error(output: Output) -> ServiceError:
    """Why a sequence that has ended has no answer."""
    sequence = output.sequence
    if sequence.outcome == "cancelled":
        return Cancelled("the request was cancelled")
    if sequence.outcome == "deadline":
        return passed("before the answer was complete")
    log.error("request %s failed: %s", sequence.spec.id, output.error)
    return ServiceError("the model failed on this request")
