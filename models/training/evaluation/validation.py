"""What a model says at a validation: answers to a few held-out examples, to be shown, and a score.

The examples are the same at every validation, so that their answers can be compared, and few. Each task has a judge of
its own. Knows nothing of the loop, of files or of what is done with the answers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

from models.training.data.rows import TextRow
from models.training.recipe import Recipe

MOST_SHOWN = 300  # characters of a text


@dataclass(frozen=True)
class Shown:
    """A sample as it is shown: in one line each, cut where it is long, without what a terminal would obey."""

    source: str
    expected: str
    answer: str

    def __post_init__(self) -> None:
        for name, text in vars(self).items():
            line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
            object.__setattr__(self, name, line if len(line) <= MOST_SHOWN else line[:MOST_SHOWN] + "…")


@dataclass(frozen=True)
class Answers:
    score: float | None
    samples: tuple[Shown, ...]


class Judge(Protocol):
    measure: str  # of the score, as manifests call it
    higher_is_better: bool

    def __call__(self, model: Any, loss: float, accuracy: float) -> Answers:
        """`model` is in eval mode; loss and accuracy are those of all validation examples."""
        ...


def mixed(recipe: Recipe, rows: Sequence[TextRow]) -> list[TextRow]:
    """In an order whose head has something of each language, label or control token, and is drawn by the seed."""
    groups: dict[tuple[str | None, ...], list[TextRow]] = {}
    for row in random.Random(recipe.seed).sample(rows, len(rows)):
        kind = (row.source_language, row.language, row.control, row.target if recipe.labels else "")
        groups.setdefault(kind, []).append(row)
    return [row for tier in zip_longest(*groups.values()) for row in tier if row is not None]
