"""When to come back: reckoned from how quickly requests ended while there was work."""

from __future__ import annotations

from collections import deque

WINDOW_S = 10.0  # of work


class FinishRate:
    """Counts the time of steps alone: how long nobody asked for anything says nothing of how quick the answers are."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, int]] = deque()  # (seconds since the ends before, how many ended)
        self._seconds, self._count = 0.0, 0  # sums of the window
        self._open_s = 0.0  # since the last end

    def observe(self, seconds: float, ended: int) -> None:
        """A step took so long, and so many requests ended with it."""
        self._open_s += seconds
        if not ended:
            return
        self._ends.append((self._open_s, ended))
        self._seconds, self._count, self._open_s = self._seconds + self._open_s, self._count + ended, 0.0
        while self._seconds > WINDOW_S and len(self._ends) > 1:
            oldest_s, oldest = self._ends.popleft()
            self._seconds, self._count = self._seconds - oldest_s, self._count - oldest

    @property
    def ended(self) -> int:
        """How many the rate is reckoned from."""
        return self._count

    def seconds_for(self, requests: int) -> float:
        """In which so many end at this rate; as if one ended now where none has."""
        return requests * (self._seconds + self._open_s) / (self._count or 1)
