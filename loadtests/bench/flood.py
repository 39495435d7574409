"""How soon the gateway refuses what it has no room for, where many ask at once.

    triptych bench flood [--requests 128 256 600] [--rounds 3]

All connections are open before any of them sends its request. There is room for 32 of them, whose answers take
seconds; the others get a 503, which says when to come back.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from loadtests.bench.gateway import REQUEST, own_core, server

GOAL_MS = 50.0


class _Connection(asyncio.Protocol):
    """Sends one request, and hears the head of its answer."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        self._done = done
        self.head = b""
        self.seconds = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.head += data
        if b"\r\n\r\n" in self.head and not self._done.done():
            self.seconds = time.perf_counter() - self._asked
            self._done.set_result(None)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def flood(port: int, requests: int) -> dict[str, float]:
    """Milliseconds until the refusals came, and how many there were."""
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(requests)]
    opened = [await loop.create_connection(partial(_Connection, end), "127.0.0.1", port) for end in ends]
    connections = [connection for _, connection in opened]
    for connection in connections:
        connection.ask()
    await asyncio.gather(*ends)
    refused = [each for each in connections if each.head.startswith(b"HTTP/1.1 503 ") and b"retry-after:" in each.head]
    answered = sum(each.head.startswith(b"HTTP/1.1 200 ") for each in connections)
    ordered = sorted(1000 * each.seconds for each in refused)
    return {
        "answered": answered,
        "refused": len(refused),
        "errors": requests - answered - len(refused),
        "p50_ms": ordered[len(ordered) // 2] if ordered else float("nan"),
        "p99_ms": ordered[len(ordered) * 99 // 100] if ordered else float("nan"),
    }


def run(*, requests: Sequence[int], rounds: int, console: Console) -> dict[str, Any]:
    rows = []
    with server("full") as port, own_core():
        for count in requests:
            found = [uvloop.run(flood(port, count)) for _ in range(rounds)]
            rows.append(
                {"requests": count, **{name: statistics.median(one[name] for one in found) for name in found[0]}}
            )
    table = Table("requests at once", "answered", "refused", "errors", "p50, ms", "p99, ms")
    for row in rows:
        counts = (f"{row[name]:.0f}" for name in ("requests", "answered", "refused", "errors"))
        table.add_row(*counts, f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}")
    console.print(table)
    console.print(f"goal: refused within {GOAL_MS:g} ms")
    return {"rounds": rounds, "rows": rows, "goals": {"refused_ms": GOAL_MS}}
