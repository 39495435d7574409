"""What of an engine step is not the model's forward, and where it goes.

    triptych bench overhead [--batch 8] [--precision auto]

Workload b: the model's `prefill` and `decode` are timed from outside, and the whole step. The rest is told apart in two
runs of their own: clocks around scheduling and running give the parts; a profile that is switched off while the model
computes gives the functions.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

from loadtests.bench.engines import CPU, Triptych
from loadtests.bench.workloads import Options, Workload, workloads
from models.precision import Precision, resolve_precision
from service.engine.engine import Engine

VERBS = ("prefill", "decode")


def shares(engine: Engine, run: Callable[[], object]) -> dict[str, float]:
    """Seconds of one run: the whole steps, the model in them, scheduling, the rest of the runner, and bookkeeping."""
    seconds: dict[str, float] = defaultdict(float)

    def timed(inner: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return inner(*arguments, **named)
            finally:
                seconds[name] += time.perf_counter() - started

        return call

    model = engine.runner.model
    wrapped = [(engine, "step", "step"), (engine.scheduler, "schedule", "schedule"), (engine.runner, "run", "runner")]
    wrapped += [(model, verb, "model") for verb in VERBS]
    with ExitStack() as stack:
        for owner, method, name in wrapped:
            stack.enter_context(mock.patch.object(owner, method, timed(getattr(owner, method), name)))
        run()
    return {
        "step": seconds["step"],
        "model": seconds["model"],
        "scheduling": seconds["schedule"],
        "tensors and choice of tokens": seconds["runner"] - seconds["model"],
        "bookkeeping and outputs": seconds["step"] - seconds["schedule"] - seconds["runner"],
    }


def functions(engine: Engine, run: Callable[[], object], most: int = 12) -> list[dict[str, Any]]:
    """Those with most time of their own outside the model; the profiler's own cost is in it."""
    profile = cProfile.Profile()
    model = engine.runner.model

    def paused(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            profile.disable()
            try:
                return inner(*arguments, **named)
            finally:
                profile.enable()

        return call

    instead: dict[str, Any] = {verb: paused(getattr(model, verb)) for verb in VERBS}
    with mock.patch.multiple(model, **instead), profile:
        run()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    rows = [
        {"function": _name(key), "calls": calls, "own_s": own, "total_s": total}
        for key, (_, calls, own, total, _callers) in stats.items()
    ]
    return sorted(rows, key=lambda row: -row["own_s"])[:most]


def _name(key: tuple[str, int, str]) -> str:
    path, _, function = key
    if path == "~":
        return function
    return f"{'/'.join(Path(path).parts[-2:])}: {function}"


def run(
    *, batch: int, tokens: int, rounds: int, precision: Precision, console: Console, workload: Workload | None = None
) -> dict[str, Any]:
    precision, reason = resolve_precision(precision, CPU)
    (workload,) = [workload] if workload else workloads("b", Options(batches=[batch], tokens=tokens, beams=False))
    job = workload.jobs[0]
    triptych = Triptych(workload.model, precision, workload.room)
    engine = triptych.engine(job.in_flight * job.beams)
    triptych.run(job)
    measured = [shares(engine, lambda: triptych.run(job)) for _ in range(rounds)]
    parts = {
        name: statistics.median(each[name] / each["step"] for each in measured)
        for name in measured[0]
        if name != "step"
    }
    top = functions(engine, lambda: triptych.run(job))
    step_ms = statistics.median(each["step"] for each in measured) * 1000 / job.max_new_tokens
    outside = 1 - parts["model"]
    table = Table(
        "part", "of a step, %", title=f"batch {job.in_flight}, {precision} ({reason}), {step_ms:.2f} ms a step"
    )
    for name, share in parts.items():
        table.add_row(name, f"{share * 100:.1f}")
    console.print(table)
    console.print(f"outside the model: {outside * 100:.1f} % (goal: under 10 %)")
    table = Table("outside the model: function", "calls", "own, µs a step", "with what it calls")
    for row in top:
        times = [row[key] * 1e6 / job.max_new_tokens for key in ("own_s", "total_s")]
        table.add_row(row["function"], str(row["calls"]), *(f"{value:.1f}" for value in times))
    console.print(table)
    return {"precision": precision, "batch": job.in_flight, "step_ms": step_ms, "parts": parts, "outside": outside,
            "functions": top, "goal": 0.1}  # fmt: skip
