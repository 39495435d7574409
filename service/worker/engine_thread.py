"""Runs an engine in a thread of its own, so that no event loop ever waits on a model step.

Every accepted sequence gets exactly one last output. Outputs of a step reach each event loop in one call.
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sized
from collections.abc import Sequence as Many

from service.engine.engine import Engine, Output
from service.engine.scheduler import turn
from service.engine.sequence import Sequence
from service.errors import NotReady, Overloaded
from service.worker.backlog import Backlog
from service.worker.rate import FinishRate

log = logging.getLogger("triptych.engine")

LAST_STEP_S = 10.0  # for the step that runs when everything is cancelled
LOOK_S = 0.005  # how often somebody who waits for the end of a step looks for it

Sink = Callable[[Output], None]


class EngineThread:
    def __init__(self, engine: Engine, *, max_waiting: int, max_waiting_tokens: int, expected: Sized = ()) -> None:
        """`max_waiting` bounds the sequences that wait for a slot, `max_waiting_tokens` the prompts of those that wait.

        What would exceed either is refused. `expected` are those that will be added: they have their place already.
        """
        self.max_waiting, self.max_waiting_tokens = max_waiting, max_waiting_tokens
        self.steps = 0  # that have ended well
        self._engine, self._expected = engine, expected
        self._slots = engine.scheduler.rows.capacity
        self._inbox: queue.SimpleQueue[Many[Sequence]] = queue.SimpleQueue()  # those of one request arrive together
        self._listeners: dict[str, tuple[asyncio.AbstractEventLoop, Sink]] = {}
        self._alive: dict[str, Sequence] = {}  # that have not ended
        self._backlogs: dict[str, Backlog] = {}  # of each of them
        self._held: set[str] = set()  # of those that wait in theirs
        self._tokens_added = 0  # at least as many as wait: counted anew when they reach the limit
        self._finish_rate = FinishRate()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> int:
        return len(self._alive)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def add(self, sequences: Many[Sequence], sink: Sink) -> None:
        """Those of one request: all of them, or none where it is refused. Half of the slots is theirs at once, at most.

        Called in an event loop; `sink` gets the outputs in that loop. Raises Overloaded or NotReady.
        """
        widest = max(sequence.spec.width for sequence in sequences)
        if widest > self._slots:
            raise ValueError(f"{widest} beams can never run in {self._slots} slots")
        for sequence in sequences:
            if sequence.spec.id in self._alive:
                raise ValueError(f"a request with id {sequence.spec.id!r} is already running")
        backlog = Backlog(sequences, slots=self._slots // 2, tokens=self.max_waiting_tokens)
        first = backlog.take()
        self.check_room(first)
        self._check_start(first[0])
        self._check_tokens(sum(len(sequence.spec.prompt) for sequence in first))
        listener = asyncio.get_running_loop(), sink
        for sequence in sequences:
            self._listeners[sequence.spec.id] = listener
            self._backlogs[sequence.spec.id] = backlog
            self._alive[sequence.spec.id] = sequence
        self._held.update(sequence.spec.id for sequence in sequences[len(first) :])
        self._inbox.put(first)

    def check_room(self, sequences: Many[Sequence] = ()) -> None:
        """Raises NotReady, or Overloaded where one more would have to wait that may not: one of `sequences`, or where
        there is none, one of which nothing is known yet."""
        if self._stopping.is_set():
            raise NotReady("the engine is stopping and takes no new requests")
        more = max(len(sequences), 1)
        if self.alive + len(self._expected) + more <= self.max_waiting:  # even if all of them wait
            return
        if self._waiting_with(sequences) > self.max_waiting:
            before = self._waiting_with(()) - 1
            raise self._overloaded(
                f"{before} requests wait for one of {self._slots} slots, the limit is {self.max_waiting}",
                self.max_waiting,
            )

    def _waiting_with(self, new: Many[Sequence]) -> int:
        """How many wait for a slot then: who has none, and finds none at the next step, where nobody passes the first
        who needs more than are free."""
        free, queue = self._slots, list(new)
        for sequence in list(self._alive.values()):  # list(): the engine's thread removes what has ended
            if sequence.outcome is not None or sequence.cancelled_at is not None or sequence.spec.id in self._held:
                continue
            if not sequence.rows:
                queue.append(sequence)
            else:
                free -= sequence.spec.width
        widths = [sequence.spec.width for sequence in sorted(queue, key=turn)]
        widths += [1] * (len(self._expected) + (not new))
        for place, width in enumerate(widths):
            if width > free:
                return len(widths) - place
            free -= width
        return 0

    def _check_start(self, sequence: Sequence) -> None:
        """Raises Overloaded for one that would not get a slot before its deadline, at the rate at which others end."""
        deadline = sequence.spec.deadline
        if deadline is None or self.alive < self._slots or self._finish_rate.ended < self._slots:
            return
        taken, running, ahead = 0, 0, sequence.spec.width
        for other in list(self._alive.values()):
            if other.outcome is not None or other.cancelled_at is not None or other.spec.id in self._held:
                continue
            if other.rows:
                taken, running = taken + other.spec.width, running + 1
            elif turn(other) <= turn(sequence):
                ahead += other.spec.width
        missing = ahead - (self._slots - taken)
        if missing <= 0 or not running:
            return
        starts_s = self._finish_rate.seconds_for(
            math.ceil(missing * running / taken)
        )  # each that ends leaves its slots
        left_s = deadline - time.monotonic()
        if starts_s > left_s:
            raise Overloaded(
                f"it would be about {starts_s:.1f} s until this request starts, and its deadline is in {left_s:.1f} s",
                retry_after_s=starts_s - left_s,
                limit=self._slots,
            )

    def _check_tokens(self, tokens: int) -> None:
        if self._held or self._tokens_added + tokens > self.max_waiting_tokens:
            waiting = [s for s in list(self._alive.values()) if s.started is None and s.spec.id not in self._held]
            self._tokens_added = sum(len(sequence.spec.prompt) for sequence in waiting)
        if self._tokens_added + tokens > self.max_waiting_tokens:
            raise self._overloaded(
                f"the waiting requests have prompts of {self._tokens_added} tokens and this one has {tokens}, "
                f"the limit is {self.max_waiting_tokens}",
                self.max_waiting_tokens,
            )
        self._tokens_added += tokens

    def _overloaded(self, message: str, limit: int) -> Overloaded:
        return Overloaded(message, retry_after_s=self._finish_rate.seconds_for(self.alive), limit=limit)

    async def step_ends(self) -> bool:
        """Wait until a step has ended well; false as soon as there is nothing to do."""
        before = self.steps
        while self.steps == before:
            if not self._alive:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    def cancel(self, sequence_id: str) -> None:
        """Ends it before the next step. Unknown or finished ids are ignored: the race is the caller's normal life."""
        sequence = self._alive.get(sequence_id)
        if sequence is not None and sequence.cancelled_at is None:
            sequence.cancelled_at = time.monotonic()

    def close(self, timeout_s: float = 10.0) -> None:
        """Take no new requests, finish what runs, end the thread; what is left after `timeout_s` is cancelled.

        A process must not end while a step of its model computes: that would abort it.
        """
        self._stopping.set()
        self._inbox.put(())  # wakes it
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            for sequence_id in list(self._alive):
                self.cancel(sequence_id)
            self._thread.join(max(timeout_s, LAST_STEP_S))

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._engine.idle and self._inbox.empty()):
            self._receive()
            if self._engine.idle:
                continue
            began = time.monotonic()
            try:
                outputs = self._engine.step()
                self.steps += 1
            except Exception as error:
                log.exception("a step failed; every running and waiting request is ended with an error")
                outputs = self._engine.abort(f"{type(error).__name__}: {error}")
            self._finish_rate.observe(time.monotonic() - began, sum(output.last for output in outputs))
            self._follow([output.sequence for output in outputs if output.last])
            self._deliver(outputs)

    def _receive(self) -> None:
        """Move new sequences into the engine; sleep while there is nothing to do."""
        block = self._engine.idle
        while True:
            try:
                sequences = self._inbox.get(block=block)
            except queue.Empty:
                return
            for sequence in sequences:
                self._engine.add(sequence)
            block = False

    def _follow(self, ended: list[Sequence]) -> None:
        """Who waited for these goes into the engine, which is not idle before the last of a request has ended."""
        for sequence in ended:
            backlog = self._backlogs.pop(sequence.spec.id)
            backlog.back(sequence)
            for following in backlog.take():
                self._held.discard(following.spec.id)
                following.queued = time.monotonic()  # behind those who came while it waited for its own
                self._engine.add(following)

    def _deliver(self, outputs: list[Output]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Sink, Output]]] = defaultdict(list)
        for output in outputs:
            loop, sink = self._listeners[output.sequence.spec.id]
            by_loop[loop].append((sink, output))
            if output.last:
                del self._listeners[output.sequence.spec.id]
                del self._alive[output.sequence.spec.id]
        for loop, batch in by_loop.items():
            try:
                loop.call_soon_threadsafe(_call, batch)
            except RuntimeError:  # the loop was closed: nobody is left to hear
                log.warning("%d outputs had no listener: their event loop is closed", len(batch))


def _call(batch: list[tuple[Sink, Output]]) -> None:
    for sink, output in batch:
        sink(output)
