"""Ours and the peers alternately, round by round, each in a process of its own; medians, agreement, quality, memory.

In the first round everyone runs. Formats that are then far behind the best of their own engine stay out of the later
rounds: nobody's best is lost, and the time goes where the comparison is.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench import engines
from loadtests.bench.jobs import Entry, Ids, Job
from loadtests.bench.worker import Run, Worker
from loadtests.bench.workloads import Workload

FAR_BEHIND = 1.5  # times the time of the best format of the same engine
LEAST_S = 0.3  # of a round's turn
PAUSE_S = 0.25  # threads of one engine spin for a while after their last work: not in the next one's time


@dataclass(frozen=True, kw_only=True)
class Row:
    """One engine, in one format, at one job."""

    workload: str
    search: str
    batch: int
    engine: str
    format: str
    listed: bool = False  # its outputs have tokens of the workload's table alone
    per_second: float  # tokens or texts, as `unit` says, from the median time
    unit: str
    seconds: list[float]  # of each round
    agreement: float  # with our float32: share of equal tokens; of equal outputs where lengths are free
    bleu: float | None = None
    accuracy: float | None = None
    peak_mib: float  # of a process that loads the weights and runs the job
    running_mib: float  # its peak while it runs the job
    libraries_mib: float  # what was there before the weights


def measure(workload: Workload, *, rounds: int, threads: int, say: Callable[[str], None]) -> list[Row]:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        say(f"{workload.name}: loading")
        directory = Path(name)
        engines.write(workload.model, directory, workload.table)
        natural = any(not job.exact for job in workload.jobs)
        workers: dict[Entry, Worker] = {}
        for entry in engines.entries(natural_ends=natural, table=workload.table is not None):
            worker = workers[entry] = Worker(entry, directory, workload.room, threads)
            stack.callback(worker.close)
        rows: list[Row] = []
        for job in workload.jobs:
            say(f"{workload.name}: {job.search}, batch {job.in_flight}")
            runs = race(workers, job, rounds)
            rows += [_row(workload, job, entry, runs) for entry in workers]
        return rows


def race(workers: dict[Entry, Worker], job: Job, rounds: int) -> dict[Entry, list[Run]]:
    """Everyone's runs. Raises ValueError where lengths are asked for and not kept."""
    for worker in workers.values():
        worker.run(job.warm_up())
    runs: dict[Entry, list[Run]] = {entry: [] for entry in workers}
    staying = list(workers)
    for _ in range(rounds):
        for entry in staying:
            time.sleep(PAUSE_S)
            runs[entry].append(workers[entry].run(job, LEAST_S))
        staying = list(_fast(runs))
    if job.exact:
        for entry, own in runs.items():
            lengths = {len(output) for output in own[-1].outputs}
            if lengths != {job.max_new_tokens}:
                raise ValueError(
                    f"{entry.engine} {entry.label} gave outputs of {sorted(lengths)} tokens instead of "
                    f"{job.max_new_tokens}: its time cannot be compared"
                )
    return runs


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def _fast(runs: dict[Entry, list[Run]]) -> Iterator[Entry]:
    for entry, own in runs.items():
        alike = (entry.engine, entry.listed)
        best = min(_median(theirs) for other, theirs in runs.items() if (other.engine, other.listed) == alike)
        if _median(own) <= FAR_BEHIND * best:
            yield entry


def _row(workload: Workload, job: Job, entry: Entry, runs: dict[Entry, list[Run]]) -> Row:
    own, last = runs[entry], runs[entry][-1]
    return Row(
        workload=workload.name,
        search=job.search,
        batch=job.in_flight,
        engine=entry.engine,
        format=entry.label,
        listed=entry.listed,
        per_second=workload.count(job) / _median(own),
        unit=workload.unit,
        seconds=[run.seconds for run in own],
        agreement=agreement(last.outputs, runs[Entry("triptych", "float32")][-1].outputs, by_token=job.exact),
        bleu=bleu(workload.texts(last.outputs), workload.references) if workload.references else None,
        accuracy=_accuracy(last.outputs, workload.answers) if workload.answers else None,
        peak_mib=last.peak_mib,
        running_mib=last.running_mib,
        libraries_mib=last.libraries_mib,
    )


def _accuracy(outputs: Sequence[Ids], answers: Sequence[int]) -> float:
    return sum(output == [answer] for output, answer in zip(outputs, answers, strict=True)) / len(answers)


def agreement(outputs: Sequence[Ids], reference: Sequence[Ids], *, by_token: bool) -> float:
    """Share of equal tokens, position by position, or of equal outputs."""
    if not by_token:
        return sum(a == b for a, b in zip(outputs, reference, strict=True)) / len(reference)
    pairs = [pair for ours, theirs in zip(outputs, reference, strict=True) for pair in zip(ours, theirs, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    from sacrebleu import corpus_bleu

    return corpus_bleu(list(texts), [list(references)]).score


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Our best format against a peer's best, at one job; those with lists of tokens are compared apart."""

    workload: str
    search: str
    batch: int
    peer: str
    ours_format: str
    peer_format: str
    listed: bool = False
    ratio: float
    goal: float | None


def ratios(workload: Workload, rows: Sequence[Row]) -> list[Ratio]:
    found = []
    for job in workload.jobs:
        here = [r for r in rows if (r.workload, r.search, r.batch) == (workload.name, job.search, job.in_flight)]
        for listed in (False, True):
            best = _best([r for r in here if r.listed == listed])
            ours = best.pop("triptych", None)
            if ours is None:
                continue
            for peer, theirs in best.items():
                found.append(
                    Ratio(
                        workload=workload.name,
                        search=job.search,
                        batch=job.in_flight,
                        peer=peer,
                        ours_format=ours.format,
                        peer_format=theirs.format,
                        listed=listed,
                        ratio=ours.per_second / theirs.per_second,
                        goal=None if listed else workload.goals.get((peer, job.search, job.in_flight)),
                    )
                )
    return found


def _best(rows: Sequence[Row]) -> dict[str, Row]:
    """Each engine's quickest."""
    return {
        engine: max((r for r in rows if r.engine == engine), key=lambda r: r.per_second)
        for engine in dict.fromkeys(r.engine for r in rows)
    }
