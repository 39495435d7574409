"""Continuous against static batching of the same model, with requests that arrive at random.

    triptych bench arrivals [--seconds 10] [--precision auto] [--bound SECONDS]

Requests arrive as a Poisson process; source lengths are even from 4 to 64, target lengths skewed from 4 to 128 (4 plus
an exponential of mean 24). Both ways get the same requests at the same times, in this process, without HTTP. The static
way is what `@serve.batch` does: from the first waiting request on, collect up to 32 or for 10 ms, pad, prefill, and
decode until the longest has ended; a request is answered when its batch is. It is the same engine, which is given one
batch at a time, and each request of it as many tokens as the longest wants.

Rates rise step by step until a way's 95th percentile of latency is over the bound: unless told otherwise, four times
that of requests that the engine serves one at a time. A point over the bound is measured twice and the better counts.
The throughputs compared are where each way crosses the bound.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.bench.engines import CPU, Triptych
from loadtests.bench.jobs import Ids, Job, Room
from loadtests.bench.workloads import OPUS, random_model
from models.precision import Precision, resolve_precision

SOURCES, TARGETS, MEAN_TARGET = (4, 64), (4, 128), 24
SLOTS, WAIT_S = 32, 0.010
BOUND = 4  # times the 95th percentile of requests served alone
GROWTH = 1.25  # from one rate to the next
ROOM = Room(prompt_tokens=SOURCES[1], new_tokens=TARGETS[1])


@dataclass(frozen=True)
class Arrival:
    at: float  # seconds from the start
    source: Ids
    target_tokens: int


Latencies = list[float]  # seconds, one a request
System = Callable[[Sequence[Arrival]], Latencies]


def requests(rate: float, seconds: float, *, vocabulary: int, seed: int = 0) -> list[Arrival]:
    """As many as come in `seconds` at `rate` a second."""
    chance = random.Random(seed)
    found: list[Arrival] = []
    at = chance.expovariate(rate)
    while at < seconds or not found:
        source = [chance.randrange(3, vocabulary) for _ in range(chance.randint(*SOURCES))]
        target = min(TARGETS[0] + int(chance.expovariate(1 / MEAN_TARGET)), TARGETS[1])
        found.append(Arrival(at, source, target))
        at += chance.expovariate(rate)
    return found


class Continuous:
    """The engine as it is served."""

    def __init__(self, triptych: Triptych) -> None:
        self.triptych, self.engine = triptych, triptych.engine(SLOTS)

    def __call__(self, arrivals: Sequence[Arrival]) -> Latencies:
        waiting = deque(enumerate(arrivals))
        latencies: Latencies = []
        started = time.perf_counter()
        while waiting or not self.engine.idle:
            now = time.perf_counter() - started
            while waiting and waiting[0][1].at <= now:
                number, arrival = waiting.popleft()
                job = Job(prompts=[], in_flight=SLOTS, max_new_tokens=arrival.target_tokens, exact=True)
                self.engine.add(self.triptych.sequence(number, arrival.source, job))
            if self.engine.idle:
                time.sleep(max(waiting[0][1].at - (time.perf_counter() - started), 0))
                continue
            done = [output.sequence.spec.id for output in self.engine.step() if output.last]
            ended = time.perf_counter() - started
            latencies += [ended - arrivals[int(number)].at for number in done]
        return latencies


class Static:
    """Batches that are collected, run to the end, and only then answered."""

    def __init__(self, triptych: Triptych) -> None:
        self.triptych = triptych

    def __call__(self, arrivals: Sequence[Arrival]) -> Latencies:
        latencies: Latencies = []
        started = time.perf_counter()
        for batch in self._batches(arrivals, started):
            longest = max(arrival.target_tokens for arrival in batch)
            prompts = [arrival.source for arrival in batch]
            self.triptych.run(Job(prompts=prompts, in_flight=SLOTS, max_new_tokens=longest, exact=True))
            ended = time.perf_counter() - started
            latencies += [ended - arrival.at for arrival in batch]
        return latencies

    def _batches(self, arrivals: Sequence[Arrival], started: float) -> Iterator[list[Arrival]]:
        waiting = deque(arrivals)
        while waiting:
            # The 10 ms begin when there is somebody to wait with: at once, or when the next one comes.
            closes = max(time.perf_counter() - started, waiting[0].at) + WAIT_S
            batch: list[Arrival] = []
            while waiting and len(batch) < SLOTS and waiting[0].at <= closes:
                batch.append(waiting.popleft())
            full_at = batch[-1].at if len(batch) == SLOTS else closes
            time.sleep(max(full_at - (time.perf_counter() - started), 0))
            yield batch


@dataclass(frozen=True, kw_only=True)
class Point:
    system: str
    rate: float  # requests that arrived a second
    throughput: float  # requests answered a second, from the first arrival to the last answer
    p50_s: float
    p95_s: float


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def point(name: str, system: System, rate: float, seconds: float, vocabulary: int) -> Point:
    arrivals = requests(rate, seconds, vocabulary=vocabulary)
    started = time.perf_counter()
    latencies = system(arrivals)
    elapsed = time.perf_counter() - started
    assert len(latencies) == len(arrivals), f"{len(latencies)} answers to {len(arrivals)} requests"
    return Point(
        system=name,
        rate=rate,
        throughput=len(arrivals) / elapsed,
        p50_s=percentile(latencies, 0.5),
        p95_s=percentile(latencies, 0.95),
    )


def crossing(points: Sequence[Point], bound_s: float) -> float | None:
    """The rate at which the 95th percentile reaches the bound, between the last point below and the first above it.

    None where the first point is over it; the highest rate where none is.
    """
    below: Point | None = None
    for here in points:
        if here.p95_s > bound_s:
            if below is None:
                return None
            share = (bound_s - below.p95_s) / (here.p95_s - below.p95_s)
            return below.rate + share * (here.rate - below.rate)
        below = here
    return None if below is None else below.rate


def run(
    *, precision: Precision, seconds: float, console: Console, bound: float | None = None, model: Any = None
) -> dict[str, Any]:
    precision, reason = resolve_precision(precision, CPU)
    triptych = Triptych(model or random_model(OPUS), precision, ROOM)
    continuous, static = Continuous(triptych), Static(triptych)
    vocabulary = triptych.config.vocab_size
    alone, capacity = _calibrate(continuous, vocabulary)
    bound_s = bound or BOUND * alone
    console.print(
        f"{precision} ({reason}); served one at a time p95 is {alone * 1000:.0f} ms, so the bound is "
        f"{bound_s * 1000:.0f} ms; all at once the engine answers {capacity:.1f} requests/s"
    )
    systems: dict[str, System] = {"continuous": continuous, "static": static}
    points: dict[str, list[Point]] = {name: [] for name in systems}
    rate = capacity / 12
    while rate < 1.5 * capacity and systems:
        for name in list(systems):
            here = point(name, systems[name], rate, seconds, vocabulary)
            if here.p95_s > bound_s:  # once more: it may have been the machine
                again = point(name, systems[name], rate, seconds, vocabulary)
                here = min(here, again, key=lambda p: p.p95_s)
            points[name].append(here)
            if here.p95_s > bound_s:
                del systems[name]
        rate *= GROWTH
    reached = {name: crossing(found, bound_s) for name, found in points.items()}
    ratio = reached["continuous"] / reached["static"] if reached["continuous"] and reached["static"] else None
    _show(points, reached, ratio, console)
    return {
        "precision": precision,
        "bound_s": bound_s,
        "points": [vars(p) for found in points.values() for p in found],
        "rates_at_bound": reached,
        "ratio": ratio,
        "goal": 2.0,
    }


def _calibrate(continuous: Continuous, vocabulary: int) -> tuple[float, float]:
    """The 95th percentile of requests served one at a time, and requests a second when all are there at once."""
    some = requests(100, 0.4, vocabulary=vocabulary, seed=1)
    one_by_one = [Arrival(0, each.source, each.target_tokens) for each in some]
    # The best of three: what else the machine does must not become the bound.
    alone = [min(continuous([each])[0] for _ in range(3)) for each in one_by_one]
    many = [Arrival(0, each.source, each.target_tokens) for each in requests(128, 1, vocabulary=vocabulary, seed=2)]
    started = time.perf_counter()
    continuous(many)
    return percentile(alone, 0.95), len(many) / (time.perf_counter() - started)


def _show(
    points: dict[str, list[Point]], reached: dict[str, float | None], ratio: float | None, console: Console
) -> None:
    table = Table("arrivals/s", "continuous p50, p95, ms", "answers/s", "static p50, p95, ms", "answers/s")
    rates = sorted({p.rate for found in points.values() for p in found})
    for rate in rates:
        cells = []
        for name in ("continuous", "static"):
            here = next((p for p in points[name] if p.rate == rate), None)
            latencies = f"{here.p50_s * 1000:.0f}, {here.p95_s * 1000:.0f}" if here else ""
            cells += [latencies, f"{here.throughput:.1f}" if here else ""]
        table.add_row(f"{rate:.1f}", *cells)
    console.print(table)
    for name, value in reached.items():
        console.print(
            f"{name}: " + ("over the bound at every rate" if value is None else f"{value:.1f} requests/s at the bound")
        )
    if ratio is not None:
        console.print(f"ratio {ratio:.2f} (goal 2)")
