"""Ours and the peers alternately, round by round; medians, agreement, quality and memory.

In the first round everyone runs. Formats that are then far behind the best of their own engine stay out of the later
rounds: nobody's best is lost, and the time goes where the comparison is.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from loadtests.bench import engines
from loadtests.bench.jobs import Contender, Entry, Ids, Job
from loadtests.bench.workloads import Workload

FAR_BEHIND = 1.5  # times the time of the best format of the same engine
LEAST_S = 0.3  # of a round's turn
PAUSE_S = 0.25  # threads of one engine spin for a while after their last work: not in the next one's time
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One engine, in one format, at one job."""

    workload: str
    search: str
    batch: int
    engine: str
    format: str
    per_second: float  # tokens or texts, as `unit` says, from the median time
    unit: str
    seconds: list[float]  # of each round
    agreement: float  # with our float32: share of equal tokens; of equal outputs where lengths are free
    bleu: float | None = None
    peak_mib: float | None = None  # of a process that loads the weights and runs the job
    running_mib: float | None = None  # its peak while it runs the job
    libraries_mib: float | None = None  # what was there before the weights


def measure(workload: Workload, *, rounds: int, threads: int, memory: bool, say: Callable[[str], None]) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        engines.write(workload.model, directory)
        natural = any(not job.exact for job in workload.jobs)
        contenders = {
            entry: engines.open_entry(entry, directory, workload.room, threads)
            for entry in engines.entries(natural_ends=natural)
        }
        rows: list[Row] = []
        stayed: dict[Entry, list[int]] = {entry: [] for entry in contenders}  # which jobs it ran to the last round
        for number, job in enumerate(workload.jobs):
            say(f"{workload.name}: {job.search}, batch {job.in_flight}")
            outputs, seconds = race(contenders, job, rounds)
            for entry in _fast(seconds):
                if len(seconds[entry]) == rounds:
                    stayed[entry].append(number)
            rows += [_row(workload, job, entry, outputs, seconds[entry]) for entry in contenders]
        del contenders
        if memory:
            for entry_number, (entry, numbers) in enumerate(stayed.items()):
                say(f"{workload.name}: memory of {entry.engine} {entry.label}")
                jobs = [workload.jobs[number] for number in numbers]
                for number, figures in zip(numbers, peaks(entry, directory, workload, jobs, threads), strict=True):
                    place = number * len(stayed) + entry_number
                    rows[place] = replace(rows[place], **figures)
        return rows


def race(
    contenders: dict[Entry, Contender], job: Job, rounds: int
) -> tuple[dict[Entry, list[Ids]], dict[Entry, list[float]]]:
    """Outputs, and the seconds of each round. Raises ValueError where lengths are asked for and not kept."""
    for contender in contenders.values():
        contender.run(job.warm_up())
    outputs: dict[Entry, list[Ids]] = {}
    seconds: dict[Entry, list[float]] = {entry: [] for entry in contenders}
    staying = list(contenders)
    for _ in range(rounds):
        for entry in staying:
            time.sleep(PAUSE_S)
            outputs[entry], taken = _timed(contenders[entry], job)
            seconds[entry].append(taken)
        staying = list(_fast(seconds))
    if job.exact:
        for entry, texts in outputs.items():
            lengths = {len(text) for text in texts}
            if lengths != {job.max_new_tokens}:
                raise ValueError(
                    f"{entry.engine} {entry.label} gave outputs of {sorted(lengths)} tokens instead of "
                    f"{job.max_new_tokens}: its time cannot be compared"
                )
    return outputs, seconds


def _timed(contender: Contender, job: Job) -> tuple[list[Ids], float]:
    """Outputs, and the seconds of a run; a short one is repeated."""
    runs, started = 0, time.perf_counter()
    while True:
        outputs = contender.run(job)
        runs, elapsed = runs + 1, time.perf_counter() - started
        if elapsed >= LEAST_S:
            return outputs, elapsed / runs


def _fast(seconds: dict[Entry, list[float]]) -> Iterator[Entry]:
    for entry, own in seconds.items():
        best = min(statistics.median(s) for other, s in seconds.items() if other.engine == entry.engine)
        if statistics.median(own) <= FAR_BEHIND * best:
            yield entry


def _row(
    workload: Workload,
    job: Job,
    entry: Entry,
    outputs: dict[Entry, list[Ids]],
    seconds: list[float],
) -> Row:
    return Row(
        workload=workload.name,
        search=job.search,
        batch=job.in_flight,
        engine=entry.engine,
        format=entry.label,
        per_second=workload.count(job) / statistics.median(seconds),
        unit=workload.unit,
        seconds=seconds,
        agreement=agreement(outputs[entry], outputs[Entry("triptych", "float32")], by_token=job.exact),
        bleu=bleu(workload.texts(outputs[entry]), workload.references) if workload.references else None,
    )


def agreement(outputs: Sequence[Ids], reference: Sequence[Ids], *, by_token: bool) -> float:
    """Share of equal tokens, position by position, or of equal outputs."""
    if not by_token:
        return sum(a == b for a, b in zip(outputs, reference, strict=True)) / len(reference)
    pairs = [pair for ours, theirs in zip(outputs, reference, strict=True) for pair in zip(ours, theirs, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    from sacrebleu import corpus_bleu

    return corpus_bleu(list(texts), [list(references)]).score


def peaks(entry: Entry, directory: Path, workload: Workload, jobs: Sequence[Job], threads: int) -> list[dict[str, Any]]:
    """Peak memory at each job, in a process of its own; see `loadtests.bench.memory`."""
    if not jobs:
        return []
    request = {
        "entry": asdict(entry),
        "directory": str(directory),
        "room": asdict(workload.room),
        "jobs": [asdict(job) for job in jobs],
        "threads": threads,
    }
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.bench.memory"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Our best format against a peer's best, at one job."""

    workload: str
    search: str
    batch: int
    peer: str
    ours_format: str
    peer_format: str
    ratio: float
    goal: float | None


def ratios(workload: Workload, rows: Sequence[Row]) -> list[Ratio]:
    found = []
    for job in workload.jobs:
        here = [r for r in rows if (r.workload, r.search, r.batch) == (workload.name, job.search, job.in_flight)]
        best = {
            engine: max((r for r in here if r.engine == engine), key=lambda r: r.per_second)
            for engine in dict.fromkeys(r.engine for r in here)
        }
        ours = best.pop("triptych")
        for peer, theirs in best.items():
            found.append(
                Ratio(
                    workload=workload.name,
                    search=job.search,
                    batch=job.in_flight,
                    peer=peer,
                    ours_format=ours.format,
                    peer_format=theirs.format,
                    ratio=ours.per_second / theirs.per_second,
                    goal=workload.goals.get((peer, job.search, job.in_flight)),
                )
            )
    return found
