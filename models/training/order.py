"""Which batch comes when: epoch after epoch, each in an order of its own. Knows nothing of what a batch holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.training.data.batches import plan_batches


class Place(NamedTuple):
    epoch: int
    position: int  # batches taken of the epoch


class Chosen(NamedTuple):
    """A batch."""

    epoch: int
    rows: np.ndarray  # indices of examples


class Order:
    """The endless row of batches; only the epoch in use is held. `sizes` gives those of an epoch, as
    `data.batches.plan_batches` takes them."""

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
