"""Memory for weights in huge pages, where the system has them to give.

A decode step reads all weights from end to end: in pages of 4 KiB the processor looks up an address for each of them
again, as it remembers too few.
"""

from __future__ import annotations

import mmap
import threading

import numpy as np
import torch
from torch import Tensor

REGION = 32 << 20  # bytes: what layers that are made one after the other share
LARGE = 1 << 21  # bytes of a huge page: what is smaller fills the room that others left
ALIGNMENT = 64  # bytes: a line of the caches, a register of AVX-512


class _Region:
    """It is given back when the last tensor in it is gone."""

    def __init__(self, size: int) -> None:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            pages.madvise(mmap.MADV_HUGEPAGE)
        self.whole, self._used = torch.from_numpy(np.frombuffer(pages, dtype=np.uint8)), 0

    def take(self, size: int) -> Tensor | None:
        """None where there is no room left."""
        start = -(-self._used // ALIGNMENT) * ALIGNMENT
        if start + size > self.whole.numel():
            return None
        self._used = start + size
        return self.whole[start : start + size]


class _Regions:
    def __init__(self) -> None:
        self._last: _Region | None = None
        self._lock = threading.Lock()

    def take(self, size: int) -> Tensor:
        if size > REGION:
            return _Region(size).whole
        with self._lock:
            taken = None if self._last is None else self._last.take(size)
            if taken is None:
                self._last = _Region(REGION)
                taken = self._last.take(size)
            assert taken is not None, "it has room for it"
            return taken


_regions = _Regions()


def settled(tensor: Tensor) -> Tensor:
    """The same, contiguous; a large one is copied to where others lie."""
    size = tensor.numel() * tensor.element_size()
    if size < LARGE:
        return tensor.contiguous()
    return _regions.take(size).view(tensor.dtype).view(tensor.shape).copy_(tensor)
