"""The workers of one training run, as the loop sees them. One worker is a group too, and needs no network.

Knows nothing of what starts the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor


class LostWorkerError(RuntimeError):
    """A worker of the group no longer answers: the group has to be started anew."""


class Group:
    """Of one worker alone; a larger one does the same for all of its workers."""

    rank, size = 0, 1  # rank 0 is the one that writes

    def stop_asked(self) -> bool:
        """Whether the run should end after the current step; workers may learn of it at different steps."""
        return False

    def sum(self, values: Sequence[float]) -> list[float]:
        """Of every worker's, in double precision."""
        return list(values)

    def sum_in_place(self, tensors: Sequence[Tensor]) -> None:
        """Float32 tensors of one device, the same shapes on every worker."""

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Every worker's tensors become those of rank 0."""


ALONE = Group()


class TorchGroup(Group):
    """The default group of torch.distributed, which has to be initialized.

    Its backend takes CPU tensors (gloo) and those of the device that is trained on. Every message raises
    LostWorkerError when a peer is gone.
    """

    def __init__(self, stop_asked: Callable[[], bool] = lambda: False) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._stop_asked = stop_asked

    def stop_asked(self) -> bool:
        return self._stop_asked()

    def sum(self, values: Sequence[float]) -> list[float]:
        return self._sent(dist.all_reduce, torch.tensor(values, dtype=torch.float64)).tolist()

    def sum_in_place(self, tensors: Sequence[Tensor]) -> None:
        self._sent_together(dist.all_reduce, tensors)

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        self._sent_together(partial(dist.broadcast, src=0), tensors)

    def _sent_together(self, message: Callable[[Tensor], object], tensors: Sequence[Tensor]) -> None:
        """All in one message: sending costs less than the pauses between many."""
        flat = self._sent(message, torch.cat([tensor.reshape(-1) for tensor in tensors]))
        parts = flat.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)])

    def _sent(self, message: Callable[[Tensor], object], tensor: Tensor) -> Tensor:
        """The tensor, which the message fills in."""
        try:
            message(tensor)
        except RuntimeError as error:  # what gloo raises has no class of its own
            raise LostWorkerError(f"worker {self.rank} of {self.size} lost another: {error}") from error
        return tensor
