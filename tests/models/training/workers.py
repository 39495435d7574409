"""Workers of a group that are threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor


class _Table:
    """Where the workers lay what they share."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=30)
        self.laid: list = [None] * size

    def exchange(self, rank: int, mine: object) -> list:
        self.barrier.wait()
        self.laid[rank] = mine
        self.barrier.wait()
        return list(self.laid)


class ThreadGroup:
    def __init__(self, rank: int, size: int, table: _Table) -> None:
        self.rank, self.size, self._table = rank, size, table

    def stop_asked(self) -> bool:
        return False

    def sum(self, values: Sequence[float]) -> list[float]:
        return [sum(each) for each in zip(*self._table.exchange(self.rank, list(values)), strict=True)]

    def sum_in_place(self, tensors: Sequence[Tensor]) -> None:
        laid = self._table.exchange(self.rank, [tensor.detach().clone() for tensor in tensors])
        for tensor, *shares in zip(tensors, *laid, strict=True):
            tensor.detach().copy_(torch.stack(shares).sum(dim=0))

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        laid = self._table.exchange(self.rank, [tensor.detach().clone() for tensor in tensors])
        for tensor, first in zip(tensors, laid[0], strict=True):
            tensor.detach().copy_(first)


def together(size: int) -> list[ThreadGroup]:
    table = _Table(size)
    return [ThreadGroup(rank, size, table) for rank in range(size)]
