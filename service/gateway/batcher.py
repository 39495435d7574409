"""The micro-batcher of one model: requests of different HTTP calls travel to the worker together.

An idle worker gets a request at once (with whatever arrived in the same turn of the event loop); while it is busy the
first to arrive waits up to `wait_s` for company, or until `size` are there. A call to the worker belongs to none of the
requests in it: whoever leaves is cancelled alone. And nobody is left hanging: a worker that breaks off is a `Failure`
for everyone it had not answered.

Knows nothing of HTTP, deadlines and what requests contain.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from service.errors import NotReady, Overloaded, ServiceError, SlowReader
from service.gateway.workers import Worker, for_nobody
from service.messages import Event, Failure, Request, Terminal

SHUTTING_DOWN = "the gateway is shutting down"
GRACE_S = 5.0  # for a worker to end its iterator, close it or take a cancellation, before it is dropped

log = logging.getLogger("triptych.batcher")


class Ticket:
    """What one call waits on: lists of its requests' events, until each request has had its terminal one."""

    def __init__(self, requests: Sequence[Request], most_waiting: int | None, leave: Callable[[Ticket], None]) -> None:
        """`most_waiting` bounds the events that wait for the caller; who would have more is given up, by `leave`."""
        self.open: dict[str, _Batch | None] = {request.id: None for request in requests}  # None: not handed over yet
        self._most_waiting, self._leave = most_waiting, leave
        self._waiting = 0
        self._unread = len(requests)  # terminal events the caller has still to see
        self._inbox: asyncio.Queue[list[Event] | ServiceError] = asyncio.Queue()

    def deliver(self, events: list[Event]) -> None:
        # What comes at once is no fault of who reads.
        if self._most_waiting is not None and self._waiting and self._waiting + len(events) > self._most_waiting:
            self._give_up(self._waiting + len(events), self._most_waiting)
            return
        self._waiting += len(events)
        self._inbox.put_nowait(events)

    def _give_up(self, waiting: int, most: int) -> None:
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self.interrupt(
            SlowReader(f"{waiting} events wait for the client to read them, the limit is {most}", limit=most)
        )
        self._leave(self)

    def interrupt(self, error: ServiceError) -> None:
        """Make the waiting call raise `error` (its deadline passed, its client left)."""
        self._inbox.put_nowait(error)

    def __aiter__(self) -> Ticket:
        return self

    async def __anext__(self) -> list[Event]:
        if not self._unread:
            raise StopAsyncIteration
        received = await self._inbox.get()
        if isinstance(received, ServiceError):
            raise received
        self._waiting -= len(received)
        self._unread -= sum(isinstance(event, Terminal) for event in received)
        return received


@dataclass(eq=False)
class _Batch:
    """One `submit` call; `waiting` are its requests without terminal event."""

    waiting: dict[str, Ticket] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


@dataclass(eq=False)
class Batcher:
    worker: Worker
    size: int
    wait_s: float
    on_submit: Callable[[int], None] = lambda requests: None
    on_life: Callable[[], None] = lambda: None  # the worker has brought something but failures
    on_failure: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._closing = False
        self._pending: deque[tuple[Request, Ticket]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._batches: set[_Batch] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself keeps only weak references

    @contextmanager
    def submit(self, requests: Sequence[Request], most_waiting: int | None = None) -> Iterator[Ticket]:
        """A ticket for these requests; leaving the block cancels those that are not answered."""
        ticket = Ticket(requests, most_waiting, self._leave)
        self._pending.extend((request, ticket) for request in requests)
        self._schedule()
        try:
            yield ticket
        finally:
            self._leave(ticket)

    async def close(self) -> None:
        """End everything; whoever still waits gets a `Failure`."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        unsent = _Batch({request.id: ticket for request, ticket in self._pending if request.id in ticket.open})
        self._pending.clear()
        self._fail(unsent, NotReady(SHUTTING_DOWN))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _schedule(self) -> None:
        if len(self._pending) >= self.size:
            self._flush()
        elif self._timer is None:
            busy = any(batch.waiting for batch in self._batches)
            self._timer = asyncio.get_running_loop().call_later(self.wait_s if busy else 0, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        waiting = iter([(request, ticket) for request, ticket in self._pending if request.id in ticket.open])
        self._pending.clear()
        while chunk := list(islice(waiting, self.size)):
            batch = _Batch()
            for request, ticket in chunk:
                batch.waiting[request.id] = ticket
                ticket.open[request.id] = batch
            self._batches.add(batch)
            batch.task = self._spawn(self._run(batch, [request for request, _ in chunk]))
            batch.task.add_done_callback(partial(self._end, batch))
            self.on_submit(len(chunk))

    async def _run(self, batch: _Batch, requests: list[Request]) -> None:
        try:
            await self._deliver_all(batch, requests)
            if batch.waiting:
                raise ServiceError(f"model {self.worker.name!r} ended without answering")
        except Overloaded as error:  # it is well, only busy
            self._fail(batch, error)
        except ServiceError as error:
            self.on_failure()
            self._fail(batch, error)
        except Exception:
            log.exception("the worker failed", extra={"model": self.worker.name})
            self.on_failure()
            self._fail(batch, ServiceError(f"model {self.worker.name!r} failed while answering"))

    async def _deliver_all(self, batch: _Batch, requests: list[Request]) -> None:
        events = self.worker.submit(requests)
        try:
            async with asyncio.timeout(None) as patience:
                async for group in events:
                    if not all(isinstance(event, Failure) for event in group):
                        self.on_life()
                    self._deliver(batch, group)
                    if not batch.waiting:  # all is said: the end should follow at once
                        patience.reschedule(asyncio.get_running_loop().time() + GRACE_S)
        except TimeoutError:
            if batch.waiting:
                raise
        finally:
            await _close(events)

    def _deliver(self, batch: _Batch, events: Sequence[Event]) -> None:
        by_ticket: dict[Ticket, list[Event]] = {}
        for event in events:
            ticket = batch.waiting.get(event.request_id)
            if ticket is None:
                continue  # of a request that was cancelled a moment ago
            by_ticket.setdefault(ticket, []).append(event)
            if isinstance(event, Terminal):
                del batch.waiting[event.request_id], ticket.open[event.request_id]
        for ticket, its_events in by_ticket.items():
            ticket.deliver(its_events)

    def _fail(self, batch: _Batch, error: ServiceError) -> None:
        self._deliver(batch, [Failure.of(request_id, error) for request_id in batch.waiting])

    def _end(self, batch: _Batch, _: asyncio.Task[None]) -> None:
        # Also after a cancellation, even of a task that never ran: who still waits must hear of it.
        self._batches.discard(batch)
        if batch.waiting and self._closing:
            self._fail(batch, NotReady(SHUTTING_DOWN))
        elif batch.waiting:
            self.on_failure()
            self._fail(batch, NotReady(f"the call to model {self.worker.name!r} was cut off before its answer"))

    def _leave(self, ticket: Ticket) -> None:
        left: dict[_Batch, list[str]] = {}
        for request_id, batch in ticket.open.items():
            if batch is not None:
                left.setdefault(batch, []).append(request_id)
                del batch.waiting[request_id]
        ticket.open.clear()  # those still pending are skipped by _flush
        for batch, request_ids in left.items():
            if batch.waiting:
                self._spawn(self._cancel(request_ids))
            elif batch.task is not None:
                batch.task.cancel()

    async def _cancel(self, request_ids: list[str]) -> None:
        try:
            async with asyncio.timeout(GRACE_S):
                await self.worker.cancel(request_ids)
        except Exception:
            log.warning("cancelling failed", extra={"model": self.worker.name}, exc_info=True)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = for_nobody(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _close(events: AsyncIterator[list[Event]]) -> None:
    aclose = getattr(events, "aclose", None)  # generators have it, other iterators may
    if aclose is not None:
        async with asyncio.timeout(GRACE_S):
            await aclose()
