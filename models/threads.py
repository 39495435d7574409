"""One thread of a serving process computes in parallel: the engine's.

Each thread that does so gets helper threads of its own from OpenMP, for good. Once a process has more of them than the
machine has cores, libgomp lets them sleep instead of spin between two parallel regions, and waking them takes longer
than most operations of a decode step: on two cores a step of 2.0 ms took 6.1 after the main thread had loaded the
weights in parallel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def serial() -> Iterator[None]:
    """What the calling thread does in here it does alone: loading and converting weights, allocating a cache.

    A decorator, too.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
