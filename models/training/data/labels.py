"""The labels of a classifier's rows: those its recipe names or those that are found, and which cannot be learned.

Knows nothing of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from models.training.data.readers import DataError
from models.training.recipe import Recipe
from models.training.sections import Corpus

MOST_LABELS = 1000  # that are found; a column with more has texts
LEAST_EXAMPLES = 2  # of a label
_SHOWN = 5


def label_of(corpus: Corpus, value: str) -> str:
    """What a value of the label column means: itself, unless the corpus renames it."""
    value = value.strip()
    return corpus.labels.get(value, value)


def labels_found(pairs: Iterable[tuple[str, Corpus]]) -> tuple[str, ...]:
    """Of a recipe that names none, from each row's label and its corpus; in the order of numbers where all are numbers.

    Raises DataError when they get too many to be labels.
    """
    labels: set[str] = set()
    for label, corpus in pairs:
        labels.add(label)
        if len(labels) > MOST_LABELS:
            some = ", ".join(repr(label[:40]) for label in sorted(labels)[:_SHOWN])
            raise DataError(
                f"{corpus.name}: column {corpus.label_column!r} has more than {MOST_LABELS:,} values, such as {some}: "
                "a column of texts? Say which one has the labels (label_column), or name them (labels)"
            )
    numbers = all(label.isdecimal() for label in labels)
    return tuple(sorted(labels, key=lambda label: (int(label) if numbers else 0, label)))


def check_others(corpus: Corpus, others: Mapping[str, int], first: str) -> None:
    """Raises DataError for rows of a corpus with labels that the recipe does not name, unless it leaves them out.

    `others` are their values with the number of rows, `first` the first of these.
    """
    if others and corpus.other_labels == "stop":
        raise DataError(
            f"{corpus.name}: {sum(others.values()):,} rows have a label that the recipe does not name: "
            f"{_counted(others)}; the first is {first}. Name it (labels), rename it (labels of the corpus), or leave "
            "such rows out (other_labels: leave_out)"
        )


def check_number(recipe: Recipe) -> None:
    """Raises DataError where there is nothing to tell apart, unless the recipe allows it."""
    if len(recipe.labels) == 1 and recipe.scarce_labels == "stop":
        raise DataError(
            f"{recipe.labels[0]!r} is the only label: there is nothing to tell it from (scarce_labels: allow trains "
            "all the same)"
        )


def check_examples(recipe: Recipe, counts: Mapping[str, int]) -> None:
    """Raises DataError for a label that hardly occurs in what trains, unless the recipe allows it."""
    scarce = {label: counts.get(label, 0) for label in recipe.labels if counts.get(label, 0) < LEAST_EXAMPLES}
    if scarce and recipe.scarce_labels == "stop":
        raise DataError(
            f"labels with fewer than {LEAST_EXAMPLES} examples to train on, of {len(recipe.labels)}: "
            f"{_counted(scarce)}. Rename what is misspelt (labels of the corpus), name only the others (labels, and "
            "other_labels: leave_out), or train all the same (scarce_labels: allow)"
        )


def _counted(counts: Mapping[str, int]) -> str:
    shown = Counter(counts).most_common(_SHOWN)
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return ", ".join(f"{label[:40]!r} ({count:,})" for label, count in shown) + more
