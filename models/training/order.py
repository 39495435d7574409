"""Which batch comes when: epoch after epoch, each in an order of its own. Knows nothing of what a batch holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.training.data.batches import plan_batches


class Place(NamedTuple):
    epoch: int
    position: int  # batches taken of the epoch


class Order:
    """The endless row of batches; only the epoch in use is held."""

    def __init__(self, sizes_N: np.ndarray, batch_tokens: int, seed: int) -> None:
        if not len(sizes_N):
            raise ValueError("there are no examples to train on")
        self._sizes, self._batch_tokens, self._seed = sizes_N, batch_tokens, seed
        self._epoch, self._plan = -1, []  # type: tuple[int, list[np.ndarray]]

    def take(self, place: Place, count: int) -> tuple[list[np.ndarray], Place]:
        """The next `count` batches as indices of examples, and the place after them; a step may reach across epochs."""
        taken: list[np.ndarray] = []
        epoch, position = place
        while len(taken) < count:
            some = self._plan_of(epoch)[position : position + count - len(taken)]
            taken += some
            position += len(some)
            if len(taken) < count:
                epoch, position = epoch + 1, 0
        return taken, Place(epoch, position)

    def _plan_of(self, epoch: int) -> list[np.ndarray]:
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, plan_batches(self._sizes, self._batch_tokens, self._seed, epoch)
        return self._plan
