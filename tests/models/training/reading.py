"""A recipe's data, read and encoded by the recipe's own task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.training.data import examples, rows, splits
from models.training.data.examples import Example, Examples
from models.training.data.rows import TextRow
from models.training.data.splits import Splits
from models.training.recipe import Recipe
from models.training.tasks import task_of


def read_splits(recipe: Recipe, *arguments: object) -> Splits:
    return splits.read_splits(task_of(recipe), recipe, *arguments)  # type: ignore[arg-type]


def read_corpus(recipe: Recipe, *arguments: object) -> list[TextRow]:
    return list(rows.read_corpus(task_of(recipe), recipe, *arguments))  # type: ignore[arg-type]


def encode(recipe: Recipe, *arguments: object, pack: bool = False) -> Examples:
    return examples.encode(task_of(recipe).encode, recipe, *arguments, pack=pack)  # type: ignore[arg-type]


def examples_of(some: Sequence[Example]) -> Examples:
    """In memory."""
    sources = np.array([len(example.source) for example in some], np.int32)
    targets = np.array([len(example.target) for example in some], np.int32)
    ids = [np.empty(0, np.int32), *(part for example in some for part in (example.source, example.target))]
    offsets = np.concatenate([[0], np.cumsum(sources + targets)])
    return Examples(np.concatenate(ids), offsets, np.arange(len(some)), sources, targets)
