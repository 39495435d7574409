"""What of an engine step is not the model's forward, and where it goes.

    triptych bench overhead [--workload a] [--batches 1 8 32] [--precision auto]

The model's own time is that of its `prefill` and `decode`, or of the programs that stand for them, timed from outside
together with the whole step. The rest is told apart in two runs of their own: clocks around scheduling and running give
the parts; a profile that is switched off while the model computes gives the functions.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

from loadtests.bench.engines import CPU, Triptych
from loadtests.bench.workloads import Options, Workload, workloads
from models.native.programs import Program
from models.precision import Precision, resolve_precision
from service.engine.engine import Engine

STEP = "engine/engine.py: step"


def computing(engine: Engine) -> list[tuple[Any, str]]:
    """Owners and names of what is the model's work, and nothing else."""
    model = engine.runner.model
    return [(Program, "run"), (model, "prefill"), (model, "decode")]


def shares(engine: Engine, run: Callable[[], object]) -> dict[str, float]:
    """Mean seconds of a step: the whole step, the model in it, scheduling, the rest of the runner, and bookkeeping."""
    seconds: dict[str, float] = defaultdict(float)
    steps = 0

    def timed(inner: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            steps += name == "step"
            started = time.perf_counter()
            try:
                return inner(*arguments, **named)
            finally:
                seconds[name] += time.perf_counter() - started

        return call

    wrapped = [(engine, "step", "step"), (engine.scheduler, "schedule", "schedule"), (engine.runner, "run", "runner")]
    with ExitStack() as stack:
        for owner, method, name in wrapped + [(*each, "model") for each in computing(engine)]:
            stack.enter_context(mock.patch.object(owner, method, timed(getattr(owner, method), name)))
        run()
    mean = {name: value / steps for name, value in seconds.items()}
    return {
        "step": mean["step"],
        "model": mean["model"],
        "scheduling": mean["schedule"],
        "tensors and choice of tokens": mean["runner"] - mean["model"],
        "bookkeeping and outputs": mean["step"] - mean["schedule"] - mean["runner"],
    }


def functions(engine: Engine, run: Callable[[], object], most: int = 12) -> list[dict[str, Any]]:
    """Those with most time of their own outside the model, in seconds a step; the profiler's own cost is in it."""
    profile = cProfile.Profile()

    def paused(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            profile.disable()
            try:
                return inner(*arguments, **named)
            finally:
                profile.enable()

        return call

    with ExitStack() as stack:
        for owner, method in computing(engine):
            stack.enter_context(mock.patch.object(owner, method, paused(getattr(owner, method))))
        with profile:
            run()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    (steps,) = (calls for key, (_, calls, *_) in stats.items() if _name(key) == STEP)
    rows = [
        {"function": _name(key), "calls": calls / steps, "own_s": own / steps, "total_s": total / steps}
        for key, (_, calls, own, total, _callers) in stats.items()
    ]
    return sorted(rows, key=lambda row: -row["own_s"])[:most]


def _name(key: tuple[str, int, str]) -> str:
    path, _, function = key
    if path == "~":
        return function
    return f"{'/'.join(Path(path).parts[-2:])}: {function}"


def run(
    *, workload: str, batches: Sequence[int], tokens: int, rounds: int, precision: Precision, console: Console
) -> dict[str, Any]:
    precision, reason = resolve_precision(precision, CPU)
    (chosen,) = workloads(workload, Options(batches=batches, tokens=tokens))
    console.print(f"{chosen.title}; {precision} ({reason})")
    return {"workload": workload, "precision": precision, "jobs": measure(chosen, precision, rounds, console)}


def measure(workload: Workload, precision: Precision, rounds: int, console: Console) -> list[dict[str, Any]]:
    """Of each job, the parts of a step in seconds and the functions."""
    triptych = Triptych(workload.model, precision, workload.room)
    found = []
    for job in workload.jobs:
        engine = triptych.engine(job.in_flight * job.beams)
        triptych.run(job)
        measured = [shares(engine, partial(triptych.run, job)) for _ in range(rounds)]
        parts = {name: statistics.median(each[name] for each in measured) for name in measured[0]}
        top = functions(engine, partial(triptych.run, job))
        found.append({"search": job.search, "batch": job.in_flight, "parts": parts, "functions": top})
    _print(found, console)
    return found


def _print(found: list[dict[str, Any]], console: Console) -> None:
    table = Table("µs a step", *(f"{each['search']}, batch {each['batch']}" for each in found))
    for name in found[0]["parts"]:
        table.add_row(name, *(f"{each['parts'][name] * 1e6:.0f}" for each in found))
    outside = [each["parts"]["step"] - each["parts"]["model"] for each in found]
    table.add_row("all but the model", *(f"{value * 1e6:.0f}" for value in outside))
    console.print(table)
    for each in found:
        table = Table("outside the model: function", "calls a step", "own, µs", "with what it calls")
        table.title = f"{each['search']}, batch {each['batch']}"
        for row in each["functions"]:
            times = (row[key] * 1e6 for key in ("own_s", "total_s"))
            table.add_row(row["function"], f"{row['calls']:.1f}", *(f"{value:.1f}" for value in times))
        console.print(table)
