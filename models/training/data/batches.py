"""From examples to batches of similar length, and which batch comes when. Everything random comes from the seed.

Knows nothing of models, and but for their padding nothing of what batches hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np


def plan_batches(sizes_N: np.ndarray, batch_tokens: int, seed: int, epoch: int) -> list[np.ndarray]:
    """One epoch's batches: indices of examples of similar size, at most `batch_tokens` padded tokens each.

    `sizes_N` [N] float: the padded width of a row, rounded down; its fraction only refines the order. Deterministic in
    (seed, epoch). An example wider than `batch_tokens` gets a batch of its own.
    """
    random = np.random.default_rng((seed, epoch))
    shuffled = random.permutation(len(sizes_N))
    ordered = shuffled[np.argsort(sizes_N[shuffled], kind="stable")]
    del shuffled
    widths = np.maximum(sizes_N[ordered].astype(np.int32), 1)  # ascending: the last row of a batch is its widest
    batches, start = [], 0
    while start < len(ordered):
        # Rows are counted with the first one's width, which is the least; then the last one's decides.
        most = min(max(batch_tokens // int(widths[start]), 1), len(ordered) - start)
        padded_tokens = widths[start : start + most] * np.arange(1, most + 1)
        count = max(int(np.searchsorted(padded_tokens, batch_tokens, side="right")), 1)
        batches.append(ordered[start : start + count])
        start += count
    return [batches[index] for index in random.permutation(len(batches))]


def padded(rows: Sequence[np.ndarray], pad: int) -> np.ndarray:
    """int64 [rows, longest], padded on the right."""
    out = np.full((len(rows), max(len(row) for row in rows)), pad, np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out


class Chosen(NamedTuple):
    """A batch."""

    epoch: int
    position: int  # batches of the epoch up to this one
    rows: np.ndarray  # indices of examples


def endless_batches(
    sizes: Callable[[int], np.ndarray], batch_tokens: int, seed: int, epoch: int, position: int
) -> Iterator[Chosen]:
    """What comes after the batch at `position` of `epoch`, epoch after epoch, each in an order of its own.

    `sizes` gives those of an epoch, as `plan_batches` takes them; only the epoch in use is held.
    """
    for number in itertools.count(epoch):
        sizes_N = sizes(number)
        if not len(sizes_N):
            raise ValueError("there are no examples to train on")
        plan = plan_batches(sizes_N, batch_tokens, seed, number)
        for place in range(position, len(plan)):
            yield Chosen(number, place + 1, plan[place])
        position = 0
