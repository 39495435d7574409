"""Runs an engine in a thread of its own, so that no event loop ever waits on a model step.

Every accepted sequence gets exactly one last output. Outputs of a step reach each event loop in one call.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from service.engine.engine import Engine, Output
from service.engine.sequence import Sequence
from service.errors import NotReady, Overloaded

log = logging.getLogger("triptych.engine")

Sink = Callable[[Output], None]


@dataclass(frozen=True, slots=True)
class _Listener:
    loop: asyncio.AbstractEventLoop
    sink: Sink


class AsyncEngine:
    def __init__(self, engine: Engine, *, max_alive: int, max_waiting_tokens: int) -> None:
        """`max_alive` bounds the sequences that run or wait, `max_waiting_tokens` the prompts of those that wait.

        What would exceed either is refused.
        """
        self.max_alive, self.max_waiting_tokens = max_alive, max_waiting_tokens
        self._engine = engine
        self._inbox: queue.SimpleQueue[Sequence | None] = queue.SimpleQueue()
        self._listeners: dict[str, _Listener] = {}
        self._alive: dict[str, Sequence] = {}
        self._tokens_added = 0  # at least as many as wait: counted anew when they reach the limit
        self._finish_rate = _Rate()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> int:
        return len(self._alive)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def add(self, sequence: Sequence, sink: Sink) -> None:
        """Called in an event loop; `sink` gets the outputs in that loop. Raises Overloaded or NotReady."""
        if self._stopping.is_set():
            raise NotReady("the engine is stopping and takes no new requests")
        if sequence.id in self._alive:
            raise ValueError(f"a request with id {sequence.id!r} is already running")
        if sequence.width > (slots := self._engine.scheduler.rows.capacity):
            raise ValueError(f"{sequence.width} beams can never run in {slots} slots")
        self._check_room(len(sequence.prompt))
        self._listeners[sequence.id] = _Listener(asyncio.get_running_loop(), sink)
        self._alive[sequence.id] = sequence
        self._inbox.put(sequence)

    def _check_room(self, tokens: int) -> None:
        if self.alive >= self.max_alive:
            raise self._overloaded(f"{self.alive} requests are running or waiting, the limit is {self.max_alive}")
        if self._tokens_added + tokens > self.max_waiting_tokens:
            # list(): the engine's thread removes what has ended
            self._tokens_added = sum(len(s.prompt) for s in list(self._alive.values()) if s.started is None)
        if self._tokens_added + tokens > self.max_waiting_tokens:
            raise self._overloaded(
                f"the waiting requests have prompts of {self._tokens_added} tokens and this one has {tokens}, "
                f"the limit is {self.max_waiting_tokens}"
            )
        self._tokens_added += tokens

    def _overloaded(self, message: str) -> Overloaded:
        return Overloaded(message, retry_after_s=self._finish_rate.seconds_for(self.alive))

    def cancel(self, sequence_id: str) -> None:
        """Ends it before the next step. Unknown or finished ids are ignored: the race is the caller's normal life."""
        sequence = self._alive.get(sequence_id)
        if sequence is not None and sequence.cancelled_at is None:
            sequence.cancelled_at = time.monotonic()

    def close(self, timeout_s: float = 10.0) -> None:
        """Take no new requests, finish what runs, end the thread; what is left after `timeout_s` is cancelled."""
        self._stopping.set()
        self._inbox.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            for sequence_id in list(self._alive):
                self.cancel(sequence_id)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._engine.idle and self._inbox.empty()):
            self._receive()
            if self._engine.idle:
                continue
            try:
                outputs = self._engine.step()
            except Exception as error:
                log.exception("a step failed; every running and waiting request is ended with an error")
                outputs = self._engine.abort(f"{type(error).__name__}: {error}")
            self._deliver(outputs)

    def _receive(self) -> None:
        """Move new sequences into the engine; sleep while there is nothing to do."""
        block = self._engine.idle
        while True:
            try:
                sequence = self._inbox.get(block=block)
            except queue.Empty:
                return
            if sequence is not None:
                self._engine.add(sequence)
            block = False

    def _deliver(self, outputs: list[Output]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Sink, Output]]] = defaultdict(list)
        for output in outputs:
            listener = self._listeners[output.sequence.id]
            by_loop[listener.loop].append((listener.sink, output))
            if output.last:
                del self._listeners[output.sequence.id]
                del self._alive[output.sequence.id]
                self._finish_rate.count()
        for loop, batch in by_loop.items():
            try:
                loop.call_soon_threadsafe(_call, batch)
            except RuntimeError:  # the loop was closed: nobody is left to hear
                log.warning("%d outputs had no listener: their event loop is closed", len(batch))


def _call(batch: list[tuple[Sink, Output]]) -> None:
    for sink, output in batch:
        sink(output)


class _Rate:
    """Requests finished per second, as an exponential moving average over about 5 seconds."""

    def __init__(self) -> None:
        self._per_second = 0.0
        self._last = time.monotonic()

    def count(self) -> None:
        now = time.monotonic()
        elapsed = max(now - self._last, 1e-6)
        weight = min(elapsed / 5.0, 1.0)
        self._per_second += (1 / elapsed - self._per_second) * weight
        self._last = now

    def seconds_for(self, requests: int) -> float:
        """How long `requests` would take at this rate; 1 second while nothing is known."""
        return requests / self._per_second if self._per_second > 0 else 1.0
