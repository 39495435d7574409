"""From examples to batches of similar length, and which batch comes when. Everything random comes from the seed.

Knows nothing of models, and but for their padding nothing of what batches hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Place(NamedTuple):
    epoch: int
    position: int  # batches taken of the epoch


class Chosen(NamedTuple):
    """A batch."""

    epoch: int
    rows: np.ndarray  # indices of examples


class Order:
    """The endless row of batches, epoch after epoch, each in an order of its own; only the epoch in use is held.

    `sizes` gives those of an epoch, as `plan_batches` takes them.
    """

    def __init__(self, sizes: Callable[[int], np.ndarray], batch_tokens: int, seed: int) -> None:
        self._sizes, self._batch_tokens, self._seed = sizes, batch_tokens, seed
        self._epoch, self._plan = -1, []  # type: tuple[int, list[np.ndarray]]

    def take(self, place: Place, count: int) -> tuple[list[Chosen], Place]:
        """The next `count` batches and the place after them; a step may reach across epochs."""
        taken: list[Chosen] = []
        epoch, position = place
        while len(taken) < count:
            some = self._plan_of(epoch)[position : position + count - len(taken)]
            taken += [Chosen(epoch, rows) for rows in some]
            position += len(some)
            if len(taken) < count:
                epoch, position = epoch + 1, 0
        return taken, Place(epoch, position)

    def _plan_of(self, epoch: int) -> list[np.ndarray]:
        if epoch != self._epoch:
            sizes_N = self._sizes(epoch)
            if not len(sizes_N):
                raise ValueError("there are no examples to train on")
            self._epoch, self._plan = epoch, plan_batches(sizes_N, self._batch_tokens, self._seed, epoch)
        return self._plan
