"""What a run leaves to look at, as events that any number of sinks take: files, TensorBoard, an experiment tracker.

A run that goes on from step n drops what an interrupted sitting wrote after it, so that nothing is there twice.
TensorBoard and matplotlib are optional: without them a run goes on, and says once what is missing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

from models.checkpoint import CURVES
from models.training.evaluation.validation import Shown
from models.training.markdown import cell, table

METRICS = "metrics.jsonl"  # a line for each validation
STEPS = "steps.jsonl"  # a line for every few steps
SAMPLES = "samples.jsonl"  # a line for each validation
EVENTS = "tensorboard"  # a folder

Figures = Mapping[str, float]  # by name
Say = Callable[[str], None]
_SECONDS_BETWEEN_PICTURES = 60.0
_INSTALL = 'pip install -e ".[train]"'


class Sink:
    """What is told of a run. Every event may be ignored; none may raise for want of a package or a server."""

    def steps(self, step: int, values: Figures) -> None:
        """Of training, every few steps: loss, learning_rate and tokens_per_second."""

    def validation(self, step: int, measures: Figures, counters: Mapping[str, Any], samples: Sequence[Shown]) -> None:
        """`measures` has at least loss and accuracy; `samples` are what the model said."""

    def close(self) -> None:
        """The sitting is over; pictures and files of the run are as it leaves them."""


class Tracking(Sink):
    """One sitting of a run that has made `step` steps already: files below `directory`, and what `sinks` there are.

    `sinks` are closed by whoever opened them.
    """

    def __init__(self, directory: Path, name: str, *, step: int, say: Say, sinks: Sequence[Sink] = ()) -> None:
        self._directory, self._name = directory, name
        self._own: list[Sink] = [Files(directory, step)]
        try:
            self._own.append(TensorBoard(directory / EVENTS, step))
        except ImportError:
            say(f"no TensorBoard files: tensorboard is missing; {_INSTALL}")
        self._sinks = [*self._own, *sinks]
        self._say: Say | None = say  # until it is said that curves cannot be drawn
        self._drawn = time.monotonic()

    def steps(self, step: int, values: Figures) -> None:
        for sink in self._sinks:
            sink.steps(step, values)

    def validation(self, step: int, measures: Figures, counters: Mapping[str, Any], samples: Sequence[Shown]) -> None:
        for sink in self._sinks:
            sink.validation(step, measures, counters, samples)
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_PICTURES:
            self._draw()

    def close(self) -> None:
        for sink in self._own:
            sink.close()
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        try:
            draw_curves(self._directory, self._name)
        except ImportError:
            if self._say is not None:
                self._say(f"no {CURVES}: matplotlib is missing; {_INSTALL}")
            self._say = None


class Files(Sink):
    """metrics.jsonl, steps.jsonl and samples.jsonl."""

    def __init__(self, directory: Path, step: int) -> None:
        self._directory = directory
        for file in (METRICS, STEPS, SAMPLES):
            _drop_after(directory / file, step)

    def steps(self, step: int, values: Figures) -> None:
        _append(self._directory / STEPS, {"step": step, **values})

    def validation(self, step: int, measures: Figures, counters: Mapping[str, Any], samples: Sequence[Shown]) -> None:
        _append(self._directory / METRICS, {"step": step, **counters, **measures})
        if samples:
            _append(self._directory / SAMPLES, {"step": step, "samples": [vars(sample) for sample in samples]})


class TensorBoard(Sink):
    """Raises ImportError where the package is missing."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Readers then forget what an interrupted sitting wrote of later steps.
        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1 if folder.exists() else None)

    def steps(self, step: int, values: Figures) -> None:
        self._scalars("training", values, step)

    def validation(self, step: int, measures: Figures, counters: Mapping[str, Any], samples: Sequence[Shown]) -> None:
        self._scalars("validation", measures, step)
        if samples:
            self._writer.add_text("samples", as_table(samples), step)

    def close(self) -> None:
        self._writer.close()

    def _scalars(self, group: str, values: Figures, step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)


def as_table(samples: Sequence[Shown]) -> str:
    """Markdown."""
    return table(("source", "expected", "answer"), [[*map(cell, vars(sample).values())] for sample in samples])


def draw_curves(directory: Path, name: str) -> None:
    """`directory`/curves.png from the two logs there: losses over the learning rate. Raises ImportError."""
    from matplotlib.figure import Figure

    steps, validations = list(_entries(directory / STEPS)), list(_entries(directory / METRICS))
    if not steps and not validations:
        return
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    numbers = [entry["step"] for entry in steps]
    training = [entry["loss"] for entry in steps]
    losses.plot(numbers, training, color="tab:blue", alpha=0.25, linewidth=0.8)
    losses.plot(numbers, _smooth(training), color="tab:blue", label="training (with label smoothing and dropout)")
    losses.plot(
        [entry["step"] for entry in validations],
        [entry["loss"] for entry in validations],
        color="tab:orange",
        marker="o",
        markersize=3,
        label="validation",
    )
    losses.set(title=name, ylabel="loss, nats")
    losses.legend()
    rates.plot(numbers, [entry["learning_rate"] for entry in steps], color="tab:green")
    rates.set(xlabel="step", ylabel="learning rate")
    for axes in (losses, rates):
        axes.grid(alpha=0.3)
    scratch = directory / f".{CURVES}.{os.getpid()}"
    figure.savefig(scratch, format="png")
    scratch.replace(directory / CURVES)


def _smooth(values: list[float]) -> list[float]:
    """Each as the mean of its neighbours, a twenty-fifth of all of them."""
    sums = [0.0, *accumulate(values)]
    ends = [(max(n - len(values) // 50, 0), min(n + len(values) // 50 + 1, len(values))) for n in range(len(values))]
    return [(sums[end] - sums[start]) / (end - start) for start, end in ends]


def _append(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _drop_after(path: Path, step: int) -> None:
    if path.is_file():
        kept = [entry for entry in _entries(path) if entry["step"] <= step]
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in kept), encoding="utf-8")
        scratch.replace(path)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            with suppress(ValueError):  # it was cut off by a kill
                yield json.loads(line)
