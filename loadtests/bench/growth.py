"""How the time of a decode step grows with the batch and with the length, held against how the work grows.

    triptych bench growth [--batches 1 2 4 ...] [--lengths 16 32 ...] [--plot FILE]

The engine serves so many sequences side by side from their first token to the longest length, every batch size once a
round; the time of a step at a length is the median of the steps around it in all rounds. A step's work is what it
computes and what it reads: multiplications grow with batch and length, bytes with batch times length (keys and values)
while the weights are read once. Time must not grow faster than whichever of the two grows more.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.bench.engines import CPU, Triptych
from loadtests.bench.jobs import Job, Room
from loadtests.bench.workloads import OPUS, SOURCE, random_model
from models.config import Seq2SeqConfig
from models.precision import Precision, resolve_precision

AROUND = 8  # steps before and after a length
TOLERANCE = 1.1  # two medians of the same work differ by so much
BYTES = {"float32": (4, 4), "bfloat16": (2, 2), "int8": (1, 4)}  # of a weight; of a key or value


@dataclass(frozen=True, kw_only=True)
class Step:
    batch: int
    length: int
    ms: float


@dataclass(frozen=True, kw_only=True)
class Growth:
    """From the smaller step to the larger, each as a ratio."""

    what: str
    smaller: Step
    larger: Step
    time: float
    multiplications: float
    bytes: float

    @property
    def within(self) -> bool:
        return self.time <= max(self.multiplications, self.bytes) * TOLERANCE


def multiplications(config: Seq2SeqConfig, batch: int, length: int) -> float:
    return batch * (_weights(config) + 2 * config.decoder_layers * config.width * (length + SOURCE))


def bytes_read(config: Seq2SeqConfig, batch: int, length: int, precision: Precision) -> float:
    weight, value = BYTES[precision]
    return _weights(config) * weight + 2 * config.decoder_layers * config.width * (length + SOURCE) * batch * value


def _weights(config: Seq2SeqConfig) -> float:
    """Of the decoder that a step reads: six projections of self- and cross-attention, feed-forward, vocabulary."""
    layer = 6 * config.width**2 + 2 * config.width * config.feedforward
    return config.decoder_layers * layer + config.vocab_size * config.width


def times(triptych: Triptych, batch: int, tokens: int, config: Seq2SeqConfig) -> list[float]:
    """Milliseconds of each step from the second token on: the first step reads the sources."""
    engine = triptych.engine(batch)
    job = Job(prompts=[], in_flight=batch, max_new_tokens=tokens, exact=True)
    for number in range(batch):
        prompt = [3 + (number * SOURCE + n) % (config.vocab_size - 3) for n in range(SOURCE)]
        engine.add(triptych.sequence(number, prompt, job))
    found: list[float] = []
    while not engine.idle:
        started = time.perf_counter()
        engine.step()
        found.append((time.perf_counter() - started) * 1000)
    return found[-tokens + 1 :]


def steps(rounds: Sequence[Sequence[float]], batch: int, lengths: Sequence[int]) -> list[Step]:
    """Item n of a round is the step at length n + 1."""

    def around(length: int) -> list[float]:
        return [ms for each in rounds for ms in each[max(length - AROUND, 0) : length + AROUND]]

    return [Step(batch=batch, length=length, ms=statistics.median(around(length))) for length in lengths]


def growths(found: Sequence[Step], config: Seq2SeqConfig, precision: Precision) -> list[Growth]:
    """Each row and column of the grid, from its smallest to its largest."""

    def of(what: str, smaller: Step, larger: Step) -> Growth:
        work = [multiplications(config, s.batch, s.length) for s in (smaller, larger)]
        read = [bytes_read(config, s.batch, s.length, precision) for s in (smaller, larger)]
        return Growth(
            what=what,
            smaller=smaller,
            larger=larger,
            time=larger.ms / smaller.ms,
            multiplications=work[1] / work[0],
            bytes=read[1] / read[0],
        )

    at = {(s.batch, s.length): s for s in found}
    batches, lengths = sorted({s.batch for s in found}), sorted({s.length for s in found})
    longer = [of(f"batch {b}, length", at[b, lengths[0]], at[b, lengths[-1]]) for b in batches]
    wider = [of(f"length {n}, batch", at[batches[0], n], at[batches[-1], n]) for n in lengths]
    return longer + wider


def run(
    *,
    batches: Sequence[int],
    lengths: Sequence[int],
    rounds: int,
    precision: Precision,
    console: Console,
    plot: Path | None = None,
    config: Seq2SeqConfig = OPUS,
) -> dict[str, Any]:
    precision, reason = resolve_precision(precision, CPU)
    config = replace(config, max_target=max(lengths) + AROUND + 1)
    tokens = max(lengths) + AROUND
    triptych = Triptych(random_model(config), precision, Room(prompt_tokens=SOURCE, new_tokens=tokens))
    measured: dict[int, list[list[float]]] = {batch: [] for batch in batches}
    for _ in range(rounds):
        for batch in batches:
            measured[batch].append(times(triptych, batch, tokens, config))
    found = [step for batch in batches for step in steps(measured[batch], batch, lengths)]
    grown = growths(found, config, precision)
    _show(found, grown, f"{precision} ({reason})", console)
    if plot:
        draw(found, precision, plot)
    shown = ("what", "time", "multiplications", "bytes", "within")
    return {
        "precision": precision,
        "steps": [vars(step) for step in found],
        "growth": [{name: getattr(each, name) for name in shown} for each in grown],
    }


def _show(found: Sequence[Step], grown: Sequence[Growth], title: str, console: Console) -> None:
    lengths = sorted({s.length for s in found})
    table = Table("batch", *(f"length {n}" for n in lengths), title=f"Time of a decode step, ms; {title}")
    for batch, row in itertools.groupby(found, key=lambda s: s.batch):
        table.add_row(str(batch), *(f"{s.ms:.2f}" for s in sorted(row, key=lambda s: s.length)))
    console.print(table)
    table = Table("growth", "from", "to", "time", "multiplications", "bytes read", "no faster than the work")
    for g in grown:
        ends = [f"{s.batch} × {s.length}" for s in (g.smaller, g.larger)]
        ratios = [f"{x:.2f}" for x in (g.time, g.multiplications, g.bytes)]
        table.add_row(g.what, *ends, *ratios, "yes" if g.within else "no")
    console.print(table)


def draw(found: Sequence[Step], precision: str, path: Path) -> None:
    """Two panels: against the batch at each length, and against the length at each batch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, x, lines in zip(panels, ("batch", "length"), ("length", "batch"), strict=True):
        for line in sorted({getattr(s, lines) for s in found}):
            own = sorted((s for s in found if getattr(s, lines) == line), key=lambda s: getattr(s, x))
            axes.plot([getattr(s, x) for s in own], [s.ms for s in own], marker="o", label=f"{lines} {line}")
        ticks = sorted({getattr(s, x) for s in found})
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(x)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    panels[0].set_ylabel("ms per decode step")
    figure.suptitle(f"Time of a decode step, 6 + 6 layers, width 512, {precision}")
    figure.savefig(path, dpi=120)
