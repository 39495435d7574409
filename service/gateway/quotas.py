"""How much each key may ask for: requests, which count when they come, and tokens, which count when they are known.

The counting is that of the library `limits`, by fixed windows: whoever is refused is told when the window ends, and
what exceeds a quota of tokens within a window is forgotten with it. While a storage is away nobody is refused, and
nothing is counted. Knows nothing of HTTP.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

from limits import RateLimitItem, parse_many
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from service.errors import QuotaExceeded
from service.gateway.keys import Key

Kind = Literal["requests", "tokens"]

AWAY_S = 5.0  # until a storage that did not answer is asked again
# The client of Redis that is kept up; a request waits for it no longer than these seconds.
_REDIS = {"implementation": "redispy", "socket_timeout": 1.0, "socket_connect_timeout": 1.0}

log = logging.getLogger("triptych.http")


class Quotas:
    def __init__(self, storage: str) -> None:
        """`storage` is where they are counted, as a URL of `limits`. Raises ValueError for one that it does not know.

        Those of one gateway process are its own unless they are counted elsewhere, as by Redis.
        """
        options: dict[str, Any] = _REDIS if storage.startswith("redis") else {}
        try:
            opened = storage_from_string(f"async+{storage}", wrap_exceptions=True, **options)
        except Exception as error:  # also of a package that the storage needs and is not there
            raise ValueError(f"quotas cannot be counted at {storage!r}: {error}") from error
        assert isinstance(opened, Storage)
        self._limiter = FixedWindowRateLimiter(opened)
        self._away_until = 0.0  # by time.monotonic

    async def enter(self, key: Key) -> None:
        """Count one request. Raises QuotaExceeded where there is no room for it, or no token is left."""
        if self._is_away():
            return
        with self._noticing():
            for item in _items(key.requests):
                if not await self._limiter.hit(item, key.name, "requests"):
                    raise await self._exceeded(key, "requests", item)
            for item in _items(key.tokens):
                if not await self._limiter.test(item, key.name, "tokens"):
                    raise await self._exceeded(key, "tokens", item)

    async def spend(self, key: Key, tokens: int) -> None:
        """Count the tokens of a request that has ended."""
        if self._is_away():
            return
        with self._noticing():
            for item in _items(key.tokens):
                await self._limiter.hit(item, key.name, "tokens", cost=tokens)

    def _is_away(self) -> bool:
        return time.monotonic() < self._away_until

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """The storage that does not answer is left alone for a while."""
        try:
            yield
        except StorageError as error:
            log.error("quotas are not counted for %g s: %s", AWAY_S, error)
            self._away_until = time.monotonic() + AWAY_S

    async def _exceeded(self, key: Key, kind: Kind, item: RateLimitItem) -> QuotaExceeded:
        ends, _ = await self._limiter.get_window_stats(item, key.name, kind)
        left = max(ends - time.time(), 0)
        return QuotaExceeded(
            f"the quota of the key {key.name!r}, {item.amount} {kind} per {_period(item)}, is used up for {left:.0f} s",
            retry_after_s=left,
            limit=item.amount,
            quota=kind,
        )


@lru_cache(maxsize=1000)
def _items(quota: str | None) -> tuple[RateLimitItem, ...]:
    return () if quota is None else tuple(parse_many(quota))


def _period(item: RateLimitItem) -> str:
    name = item.GRANULARITY.name
    return name if item.multiples == 1 else f"{item.multiples} {name}s"
