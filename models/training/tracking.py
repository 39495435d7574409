"""What a run leaves to look at: metrics.jsonl, steps.jsonl, TensorBoard event files and a picture of the curves.

A run that goes on from step n drops what an interrupted sitting wrote after it, so that nothing is there twice.
TensorBoard and matplotlib are optional: without them a run goes on, and says once what is missing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"  # a line for each validation
STEPS = "steps.jsonl"  # a line for every few steps
EVENTS = "tensorboard"  # a folder
CURVES = "curves.png"

_SECONDS_BETWEEN_PICTURES = 60.0
_INSTALL = 'pip install -e ".[train]"'


class Tracking:
    """One sitting of a run that has made `step` steps already. Writes below `directory`."""

    def __init__(self, directory: Path, name: str, *, step: int, say: Callable[[str], None] = print) -> None:
        self._directory, self._name = directory, name
        for file in (METRICS, STEPS):
            _drop_after(directory / file, step)
        self._events = _event_writer(directory / EVENTS, step, say)
        self._say: Callable[[str], None] | None = say  # until it is said that curves cannot be drawn
        self._drawn = time.monotonic()

    def steps(self, step: int, *, loss: float, learning_rate: float, tokens_per_second: float) -> None:
        """Of training: the loss of step `step`, as it is trained on, and the mean speed since the last call."""
        values = {"loss": loss, "learning_rate": learning_rate, "tokens_per_second": tokens_per_second}
        _append(self._directory / STEPS, {"step": step, **values})
        self._scalars("training", values, step)

    def validation(self, step: int, entry: dict[str, Any]) -> None:
        """`entry` has at least `loss` and `accuracy`."""
        _append(self._directory / METRICS, {"step": step, **entry})
        self._scalars("validation", {name: entry[name] for name in ("loss", "accuracy")}, step)
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_PICTURES:
            self._draw()

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
        self._draw()

    def _scalars(self, group: str, values: dict[str, float], step: int) -> None:
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{group}/{name}", value, step)

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        try:
            draw_curves(self._directory, self._name)
        except ImportError:
            if self._say is not None:
                self._say(f"no {CURVES}: matplotlib is missing; {_INSTALL}")
            self._say = None


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


def _event_writer(folder: Path, step: int, say: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say(f"no TensorBoard files: tensorboard is missing; {_INSTALL}")
        return None
    # Readers then forget what an interrupted sitting wrote of later steps.
    return SummaryWriter(str(folder), purge_step=step + 1 if folder.exists() else None)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """A line that was cut off by a kill is none."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _append(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def _drop_after(path: Path, step: int) -> None:
    if path.is_file():
        kept = [entry for entry in _entries(path) if entry["step"] <= step]
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        scratch.replace(path)
