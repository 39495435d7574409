"""Bounds the texts being answered at once, and tells who is refused when to come back.

Knows nothing of HTTP and of what the texts are for.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import Overloaded

WINDOW_S = 10.0  # the completion rate is measured over this long
MAX_RETRY_AFTER_S = 60


class Admission:
    """At most `limit` texts at once; one more is refused at once rather than kept waiting."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._in_flight = 0
        self._leavings: deque[tuple[float, int]] = deque()  # (when, texts) of the last WINDOW_S

    @contextmanager
    def admit(self, texts: int) -> Iterator[None]:
        """Hold room for `texts` texts, or raise `Overloaded`."""
        if self._in_flight + texts > self._limit:
            raise Overloaded(
                f"{self._in_flight} texts are being answered, {texts} more would exceed the limit of {self._limit}",
                retry_after_s=self.retry_after_s(self._in_flight + texts - self._limit),
                limit=self._limit,
            )
        self._in_flight += texts
        try:
            yield
        finally:
            self._in_flight -= texts
            self._leavings.append((self._clock(), texts))
            self._forget_old()

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
