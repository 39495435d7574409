"""The weights that are measured and published: those in training, their moving average, or the mean of the last
validations' (Vaswani et al. 2017); with early stopping, the best of them.

Every worker of a group holds the same; the first one reads and writes the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from models.training.parallel import Group
from models.training.sections import Training
from models.training.state import Progress, drop_weights, fill, load_weights, save_weights

_KEPT, _BEST = "weights", "best"


class Averaging:
    def __init__(self, learned: Mapping[str, nn.Parameter], recipe: Training, directory: Path, group: Group) -> None:
        self._learned, self._recipe, self._directory, self._group = learned, recipe, directory, group
        copies = {name: p.detach().clone() for name, p in learned.items()}
        self.moving = copies if recipe.average_decay else None  # belongs into a saved state
        self._mean = copies if recipe.average_last else None

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After step number `step`."""
        if self.moving is not None:
            # The first steps' weights are far off: let the average forget them fast (tf.train's rule).
            decay = min(self._recipe.average_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.moving.values()), list(self._learned.values()), 1 - decay)

    @torch.no_grad()
    def collect(self, progress: Progress) -> None:
        """At a validation: its weights join the mean, where the recipe wants one."""
        if self._mean is None:
            return
        progress.kept = [*(step for step in progress.kept if step != progress.step), progress.step]
        progress.kept = progress.kept[-self._recipe.average_last :]
        if self._group.rank == 0:
            save_weights(self._directory, _KEPT, progress.step, self._learned)
            torch._foreach_zero_(list(self._mean.values()))
            for step in progress.kept:
                for name, tensor in load_weights(self._directory, _KEPT, step).items():
                    self._mean[name].add_(tensor.to(self._mean[name].device), alpha=1 / len(progress.kept))
        self._group.copy_from_first(list(self._mean.values()))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The model has the averaged weights, if it has any."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def keep_best(self, progress: Progress) -> None:
        """Within `in_use`: these are the best so far."""
        if self._group.rank == 0:
            save_weights(self._directory, _BEST, progress.step, self._learned)

    @torch.no_grad()
    def publish(self, progress: Progress) -> None:
        """Leave the model with the weights to publish."""
        if self._recipe.patience:
            if self._group.rank == 0:
                fill(self._learned, load_weights(self._directory, _BEST, progress.best_step))
            self._group.copy_from_first([p.data for p in self._learned.values()])
            return
        if self._mean is not None:  # of a finished run that was taken up again, it is not in memory
            self.collect(progress)
        self._swap()

    def drop_old(self, progress: Progress) -> None:
        """Files that neither the run nor the state just saved of it needs any more."""
        drop_weights(self._directory, _KEPT, progress.kept)
        drop_weights(self._directory, _BEST, [progress.best_step])

    def _swap(self) -> None:
        average = self.moving if self.moving is not None else self._mean
        if average is not None:
            for name, parameter in self._learned.items():
                parameter.data, average[name] = average[name], parameter.data
