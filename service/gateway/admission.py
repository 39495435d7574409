"""Bounds the texts being answered at once, of each model and of all, and tells who is refused when to come back.

Knows nothing of HTTP and of what the texts are for.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from service.errors import InvalidRequest, NotReady, Overloaded

WINDOW_S = 10.0  # the rate of answers is measured over this long


class Admission:
    """One text more than a model or the gateway can take is refused at once rather than kept waiting."""

    def __init__(self, limit: int, models: Mapping[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        """`limit` is how many texts there may be of all models together, `models` how many of each."""
        self._all = _Room("the gateway", limit, clock)
        self._rooms = {name: _Room(f"model {name!r}", limit, clock) for name, limit in models.items()}
        self._open = True
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def admit(self, model: str | None, texts: int) -> Iterator[None]:
        """Hold room for `texts` texts, or raise what `check` raises. `model`: None where the gateway itself answers."""
        self.check(model, texts)
        rooms = [self._all] if model is None else [self._all, self._rooms[model]]
        for room in rooms:
            room.inside += texts
        self._empty.clear()
        try:
            yield
            for room in rooms:
                room.answered(texts)
        finally:
            for room in rooms:
                room.inside -= texts
            if not self._all.inside:
                self._empty.set()

    def check(self, model: str | None, texts: int = 1) -> None:
        """Raise `Overloaded` where there is no room, `NotReady` once `drain` was called."""
        self.check_open()
        if model is not None:
            self._rooms[model].check(texts)
        self._all.check(texts)

    @property
    def is_open(self) -> bool:
        return self._open

    def check_open(self) -> None:
        if not self._open:
            raise NotReady("the service is stopping and takes no new requests")

    async def drain(self, timeout_s: float) -> int:
        """Refuse what comes from now on, and wait for what is being answered; how many texts are left in the end."""
        self._open = False
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        return self._all.inside

    def retry_after_s(self, model: str, texts: int = 1) -> float:
        """Seconds until `texts` texts of the model will have been answered, at the rate of the last WINDOW_S."""
        return self._rooms[model].seconds_for(texts)


class _Room:
    """For texts, with the rate at which they are answered. Who is cancelled or refused elsewhere does not count."""

    def __init__(self, whose: str, limit: int, clock: Callable[[], float]) -> None:
        self._whose, self._limit, self._clock = whose, limit, clock
        self.inside = 0
        self._answers: deque[tuple[float, int]] = deque()  # (when, texts) of the last WINDOW_S
        self._answered = 0  # texts among them

    def check(self, texts: int) -> None:
        if texts > self._limit:
            raise InvalidRequest(
                f"{texts} texts in one request, {self._whose} takes at most {self._limit} at once", limit=self._limit
            )
        missing = self.inside + texts - self._limit
        if missing > 0:
            raise Overloaded(
                f"{self._whose} is answering {self.inside} texts, {texts} more would exceed the limit of {self._limit}",
                retry_after_s=self.seconds_for(missing),
                limit=self._limit,
            )

    def answered(self, texts: int) -> None:
        self._answers.append((self._clock(), texts))
        self._answered += texts
        self._forget_old()

    def seconds_for(self, texts: int) -> float:
        self._forget_old()
        if not self._answers:
            return WINDOW_S  # none for that long: do not invite them sooner
        # Not over the whole window: just after the start it would make us look slow.
        measured_s = max(self._clock() - self._answers[0][0], WINDOW_S / 10)
        return texts * measured_s / self._answered

    def _forget_old(self) -> None:
        while self._answers and self._answers[0][0] < self._clock() - WINDOW_S:
            self._answered -= self._answers.popleft()[1]
