"""A picture of a run's losses and its learning rate, from the two logs that it writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"  # a line for each validation
STEPS = "steps.jsonl"  # a line for every few steps
CURVES = "curves.png"


def draw_curves(directory: Path, name: str) -> None:
    """`directory`/curves.png from the two logs there: losses over the learning rate. Raises ImportError."""
    from matplotlib.figure import Figure

    steps, validations = list(entries(directory / STEPS)), list(entries(directory / METRICS))
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


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """A line that was cut off by a kill is none."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                continue
