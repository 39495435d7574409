"""The best tokens of each row by kernels, without writing the log-probabilities of all others.

Shapes: B rows, V vocabulary, N tokens that are wanted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.native import instructions as kernels
from models.native.library import instruction_set
from models.native.programs import perform


def chooses(logits_BV: Tensor) -> bool:
    """Whether there are kernels for these."""
    return (
        logits_BV.is_cpu
        and logits_BV.dtype is torch.float32
        and logits_BV.stride(1) == 1
        and instruction_set() is not None
    )


def best(logits_BV: Tensor) -> Tensor:
    """[B]: the place of each row's largest; of equals, the first."""
    tokens_B = torch.empty(logits_BV.shape[0], dtype=torch.int64)
    perform(kernels.best(logits_BV, tokens_B))
    return tokens_B


def top(logits_BV: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The largest [B, N], best first, and their places; and [B] the logarithm of the sum of all exponentials."""
    size = (logits_BV.shape[0], min(count, logits_BV.shape[1]))
    values_BN, tokens_BN = torch.empty(size), torch.empty(size, dtype=torch.int64)
    totals_B = torch.empty(size[0])
    perform(kernels.top(logits_BV, values_BN, tokens_BN, totals_B))
    return values_BN, tokens_BN, totals_B
