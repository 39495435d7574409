"""Where requests wait, as text: while a model is being replaced, because the next one may have another tokenizer, and
until they are tokenized.

Knows nothing of models. All of it happens in one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from service.engine.stats import NoObserver, Observer, Outcome, RequestStats
from service.errors import Cancelled, Overloaded, ServiceError
from service.messages import Accepted, Event, Failure, Request
from service.messages.deadline import passed, seconds_left

log = logging.getLogger("triptych.engine")

AT_ONCE = 32  # requests that go on in one turn of the event loop


@dataclass(eq=False, kw_only=True)
class Held:
    request: Request
    emit: Callable[[Event], None]
    arrived: float = field(default_factory=time.monotonic)
    deadline: asyncio.TimerHandle | None = None
    accepted: bool = False

    def accept(self) -> None:
        """Tell who asked for a stream that the request is not refused; once."""
        if self.request.stream and not self.accepted:
            self.accepted = True
            self.emit(Accepted(request_id=self.request.id))

    def go_on(self, begin: Callable[[Held], None]) -> None:
        """What `begin` raises is the request's answer."""
        try:
            begin(self)
        except ServiceError as error:
            self.emit(Failure.of(self.request.id, error))
        except Exception:  # whatever it is, the others go on and this one is told
            log.exception("request %s could not go on after it waited as text", self.request.id)
            self.emit(Failure.of(self.request.id, ServiceError("the model failed on this request")))


class WaitingTexts:
    """Requests that wait as text. Each leaves once: it is taken, cancelled, or late."""

    def __init__(self, meanwhile: str, observer: Observer | None = None) -> None:
        """`meanwhile` is what happens while they wait, for the one whose deadline passes."""
        self._meanwhile = meanwhile
        self._observer = observer or NoObserver()
        self._held: dict[str, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, held: Held) -> bool:
        return self._held.get(held.request.id) is held

    def add(self, held: Held) -> None:
        """Raises DeadlineExceeded; otherwise it gets its events sooner or later."""
        request = held.request
        if request.id in self._held:
            raise ValueError(f"a request with id {request.id!r} is already waiting")
        if (left := seconds_left(request)) is not None:
            held.deadline = asyncio.get_running_loop().call_later(left, self._expire, request.id)
        self._held[request.id] = held

    def take(self, held: Held) -> None:
        del self._held[held.request.id]
        if held.deadline is not None:
            held.deadline.cancel()

    def cancel(self, request_id: str) -> None:
        """Ids that do not wait here are ignored."""
        self._give_up(request_id, "cancelled", Cancelled("the request was cancelled"))

    def _expire(self, request_id: str) -> None:
        self._give_up(request_id, "deadline", passed(f"while {self._meanwhile}"))

    def _give_up(self, request_id: str, outcome: Outcome, error: ServiceError) -> None:
        held = self._held.get(request_id)
        if held is None:
            return
        self.take(held)
        self._observer.observe_request(
            RequestStats(outcome=outcome, stage="waiting", total_s=time.monotonic() - held.arrived)
        )
        held.emit(Failure.of(request_id, error))


class Holding(WaitingTexts):
    """Closed, it keeps what comes; opened, it hands everything on, in the order in which it came."""

    def __init__(self, room: int, observer: Observer | None = None) -> None:
        """`room` bounds the requests that are held; one more is refused."""
        super().__init__("the model was being replaced", observer)
        self.room = room
        self._begin: Callable[[Held], None] | None = None  # while it is being opened
        self.closed = False

    def close(self) -> None:
        self.closed, self._begin = True, None

    def open(self, begin: Callable[[Held], None]) -> None:
        """Returns at once: `begin` gets the first requests now, and the others soon. What it raises is their answer."""
        self._begin = begin
        self._hand_on()

    def hold(self, held: Held) -> None:
        """Raises Overloaded or DeadlineExceeded; otherwise it gets its events sooner or later."""
        if len(self) >= self.room:
            raise Overloaded(
                f"{len(self)} requests wait for the model to be replaced, the limit is {self.room}",
                retry_after_s=1,
                limit=self.room,
            )
        self.add(held)

    def _hand_on(self) -> None:
        if self._begin is None:  # closed again
            return
        for held in list(islice(self._held.values(), AT_ONCE)):
            self.take(held)
            held.go_on(self._begin)
        if len(self):
            asyncio.get_running_loop().call_soon(self._hand_on)
        else:
            self.closed, self._begin = False, None
