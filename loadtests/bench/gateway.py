"""What the gateway adds to HTTP itself, with a model that costs nothing, against an echo by the same HTTP server.

    triptych bench gateway [--connections 1 16 64 256] [--seconds 3] [--rounds 3]

Each connection sends its next request when it has the answer to the last. Both servers run all the time and are asked
in turns; the client takes a core of its own, where there are two.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

BODY = b'{"inputs": "A text of some words, as one that is asked about."}'
REQUEST = (
    b"POST /classify HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (
        len(BODY),
        BODY,
    )
)
SERVERS = ("echo", "gateway")
WARM_S = 0.3
ADDED_MS, SHARE = 2.0, 0.5  # the goals: latency added at one connection, and part of the echo's requests/s


@dataclass(slots=True)
class Load:
    """What came of one server at one number of connections."""

    seconds: float
    latencies: list[float] = field(default_factory=list)  # seconds
    errors: int = 0

    def figures(self) -> dict[str, float]:
        ordered = sorted(self.latencies)
        return {
            "requests_s": len(ordered) / self.seconds,
            "p50_ms": 1000 * ordered[len(ordered) // 2] if ordered else float("nan"),
            "p99_ms": 1000 * ordered[len(ordered) * 99 // 100] if ordered else float("nan"),
            "errors": self.errors,
        }


class _Connection(asyncio.Protocol):
    """Sends a request whenever it has the whole answer to the one before."""

    def __init__(self, load: Load, until: float, done: asyncio.Future[None]) -> None:
        self._load, self._until, self._done = load, until, done
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._received = b""
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < length_in(head):
            return
        now = time.perf_counter()
        if head.startswith(b"HTTP/1.1 200 "):
            self._load.latencies.append(now - self._asked)
        else:
            self._load.errors += 1
        if now < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None or time.perf_counter() < self._until:
            self._load.errors += 1
        if not self._done.done():
            self._done.set_result(None)


def length_in(head: bytes) -> int:
    """Of the body that follows."""
    at = head.lower().index(b"content-length:") + len(b"content-length:")
    return int(head[at:].partition(b"\r\n")[0])


async def load(port: int, connections: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    found = Load(seconds)
    until = time.perf_counter() + seconds
    ends = [loop.create_future() for _ in range(connections)]
    for end in ends:
        await loop.create_connection(partial(_Connection, found, until, end), "127.0.0.1", port)
    await asyncio.gather(*ends)
    return found


@contextmanager
def server(kind: str) -> Iterator[int]:
    """Its port."""
    command = [sys.executable, "-m", "loadtests.bench.gateway_servers", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def own_core() -> Iterator[None]:
    """For the client, where there are several: the servers that run already have them all."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def run(*, connections: Sequence[int], seconds: float, rounds: int, console: Console) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        ports = {kind: stack.enter_context(server(kind)) for kind in SERVERS}
        stack.enter_context(own_core())
        for count in connections:
            measured: dict[str, list[dict[str, float]]] = {kind: [] for kind in SERVERS}
            for _ in range(rounds):
                for kind, port in ports.items():
                    uvloop.run(load(port, count, WARM_S))
                    measured[kind].append(uvloop.run(load(port, count, seconds)).figures())
            rows += [{"connections": count, "server": kind, **_middle(found)} for kind, found in measured.items()]
    _show(rows, console)
    return {"seconds": seconds, "rounds": rounds, "rows": rows, "goals": {"added_ms": ADDED_MS, "share": SHARE}}


def _middle(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Medians of the rounds, but all the errors."""
    middle = {name: statistics.median(each[name] for each in found) for name in found[0]}
    return {**middle, "errors": sum(each["errors"] for each in found)}


def _show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    table = Table("connections", "server", "requests/s", "p50, ms", "p99, ms", "errors", "of the echo", "added, ms")
    for echo, gateway in zip(rows[::2], rows[1::2], strict=True):
        share, added = gateway["requests_s"] / echo["requests_s"], gateway["p50_ms"] - echo["p50_ms"]
        for row, more in ((echo, ("", "")), (gateway, (f"{share:.2f}", f"{added:.2f}"))):
            figures = (
                f"{row['requests_s']:,.0f}",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['errors']:.0f}",
            )
            table.add_row(str(row["connections"]), row["server"], *figures, *more)
    console.print(table)
    console.print(
        f"goals: at one connection less than {ADDED_MS:g} ms added, at least {SHARE:g} of the echo's requests/s"
    )
