"""Bounds the texts being answered at once, and tells who is refused when to come back.

Knows nothing of HTTP and of what the texts are for.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from service.errors import NotReady, Overloaded

WINDOW_S = 10.0  # the completion rate is measured over this long
MAX_RETRY_AFTER_S = 60


class Admission:
    """At most `limit` texts at once; one more is refused at once rather than kept waiting."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._in_flight = 0
        self._open = True
        self._empty = asyncio.Event()
        self._empty.set()
        self._leavings: deque[tuple[float, int]] = deque()  # (when, texts) of the last WINDOW_S

    @contextmanager
    def admit(self, texts: int) -> Iterator[None]:
        """Hold room for `texts` texts, or raise `Overloaded`; `NotReady` once `drain` was called."""
        self.check_open()
        if self._in_flight + texts > self._limit:
            raise Overloaded(
                f"{self._in_flight} texts are being answered, {texts} more would exceed the limit of {self._limit}",
                retry_after_s=self.retry_after_s(self._in_flight + texts - self._limit),
                limit=self._limit,
            )
        self._in_flight += texts
        self._empty.clear()
        try:
            yield
        finally:
            self._in_flight -= texts
            if not self._in_flight:
                self._empty.set()
            self._leavings.append((self._clock(), texts))
            self._forget_old()

    def check_open(self) -> None:
        if not self._open:
            raise NotReady("the service is stopping and takes no new requests")

    async def drain(self, timeout_s: float) -> int:
        """Refuse what comes from now on, and wait for what is being answered; how many texts are left in the end."""
        self._open = False
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        return self._in_flight

    def retry_after_s(self, texts: int = 1) -> int:
        """Whole seconds until `texts` texts will have left, at the rate of the last WINDOW_S."""
        self._forget_old()
        left = sum(count for _, count in self._leavings)
        if not left:
            return math.ceil(WINDOW_S)  # nothing left for that long: do not invite them sooner
        # Not over the whole window: just after the start it would make us look slow.
        measured_s = max(self._clock() - self._leavings[0][0], WINDOW_S / 10)
        return min(max(math.ceil(texts * measured_s / left), 1), MAX_RETRY_AFTER_S)

    def _forget_old(self) -> None:
        while self._leavings and self._leavings[0][0] < self._clock() - WINDOW_S:
            self._leavings.popleft()
