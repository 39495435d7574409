"""Where requests wait, as text, while a model is being replaced: the next one may have another tokenizer.

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
from service.errors import Cancelled, DeadlineExceeded, Overloaded, ServiceError
from service.messages import Event, Failure, Request

log = logging.getLogger("triptych.engine")

AT_ONCE = 32  # requests that go on in one turn of the event loop: tokenizing takes its time


@dataclass(eq=False, kw_only=True)
class Held:
    request: Request
    emit: Callable[[Event], None]
    arrived: float = field(default_factory=time.monotonic)
    deadline: asyncio.TimerHandle | None = None


class Holding:
    """Closed, it keeps what comes; opened, it hands everything on, in the order in which it came."""

    def __init__(self, room: int, observer: Observer | None = None) -> None:
        """`room` bounds the requests that are held; one more is refused."""
        self.room = room
        self._observer = observer or NoObserver()
        self._held: dict[str, Held] = {}
        self._begin: Callable[[Held], None] | None = None  # while it is being opened
        self.closed = False

    def close(self) -> None:
        self.closed, self._begin = True, None

    def open(self, begin: Callable[[Held], None]) -> None:
        """Returns at once: `begin` gets the first requests now, and the others soon. What it raises is their answer."""
        self._begin = begin
        self._hand_on()

    def hold(self, request: Request, emit: Callable[[Event], None]) -> None:
        """Raises Overloaded or DeadlineExceeded; otherwise `emit` gets the request's events sooner or later."""
        if request.id in self._held:
            raise ValueError(f"a request with id {request.id!r} is already waiting")
        if len(self._held) >= self.room:
            raise Overloaded(
                f"{len(self._held)} requests wait for the model to be replaced, the limit is {self.room}",
                retry_after_s=1.0,
            )
        held = Held(request=request, emit=emit)
        if request.deadline is not None:
            left = request.deadline - time.time()
            if left <= 0:
                raise DeadlineExceeded(
                    f"the deadline passed {-left * 1000:.0f} ms before the request reached the model"
                )
            held.deadline = asyncio.get_running_loop().call_later(left, self._expire, request.id)
        self._held[request.id] = held

    def cancel(self, request_id: str) -> None:
        """Ids that are not held are ignored."""
        self._give_up(request_id, "cancelled", Cancelled("the request was cancelled"))

    def _expire(self, request_id: str) -> None:
        error = DeadlineExceeded("the deadline passed while the model was being replaced")
        self._give_up(request_id, "deadline", error)

    def _give_up(self, request_id: str, outcome: Outcome, error: ServiceError) -> None:
        if request_id not in self._held:
            return
        held = self._take(request_id)
        self._observer.observe_request(
            RequestStats(
                outcome=outcome,
                stage="waiting",
                prompt_tokens=0,  # nobody has counted them
                generated_tokens=0,
                queue_s=None,
                first_token_s=None,
                total_s=time.monotonic() - held.arrived,
                inter_token_s=(),
            )
        )
        held.emit(Failure.of(request_id, error))

    def _hand_on(self) -> None:
        if self._begin is None:  # closed again
            return
        for request_id in list(islice(self._held, AT_ONCE)):
            held = self._take(request_id)
            try:
                self._begin(held)
            except ServiceError as error:
                held.emit(Failure.of(request_id, error))
            except Exception:  # whatever it is, the others go on and this one is told
                log.exception("request %s could not go on after it was held", request_id)
                held.emit(Failure.of(request_id, ServiceError("the model failed on this request")))
        if self._held:
            asyncio.get_running_loop().call_soon(self._hand_on)
        else:
            self.closed, self._begin = False, None

    def _take(self, request_id: str) -> Held:
        held = self._held.pop(request_id)
        if held.deadline is not None:
            held.deadline.cancel()
        return held
