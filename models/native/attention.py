"""Attention by kernels: each token looks at so many columns of one row, and nothing needs a mask.

The rows are those of a cache, or prompts that lie one behind another. Shapes: T tokens, B rows, H query heads,
G key/value heads, C columns, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.native import instructions as kernels
from models.native.library import instruction_set
from models.native.programs import perform


@dataclass(frozen=True)
class Columns:
    """What each of T tokens attends to, in the place of a mask."""

    lengths: Tensor  # int64: the tokens' positions [T], or how many columns each row has [B]
    positions: bool
    places_T: Tensor  # int64: which row a token reads
    width: int = 1  # so many places lead to one row
    bias_THC: Tensor | None = None  # added to the scores


def computes(like: Tensor) -> bool:
    """Whether there are kernels for the device and the number format, all that follows is computed in it, too, and no
    gradient is asked for."""
    if not like.is_cpu or like.dtype is not torch.float32 or instruction_set() is None:
        return False
    return not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


def attend_columns(
    q_THD: Tensor, k_BGCD: Tensor, v_BGCD: Tensor, columns: Columns, *, scale: float, cap: float | None = None
) -> Tensor:
    """[T, H * D]."""
    assert q_THD.dtype is k_BGCD.dtype is torch.float32, "`computes` says no to all others"
    out_TC = torch.empty(q_THD.shape[0], q_THD.shape[1] * q_THD.shape[2])
    perform(
        kernels.attend(
            q_THD,
            k_BGCD,
            v_BGCD,
            columns.lengths,
            columns.places_T,
            out_TC,
            positions=columns.positions,
            width=columns.width,
            bias_RHC=columns.bias_THC,
            scale=scale,
            cap=cap,
        )
    )
    return out_TC


def write_columns(
    kv_T2GD: Tensor, rows_T: Tensor, positions_T: Tensor, k_BGCD: Tensor, v_BGCD: Tensor, *, first: int
) -> None:
    """The keys and values of tokens to their rows and positions; `first` is the column of position 0."""
    perform(kernels.write(kv_T2GD, rows_T, positions_T, k_BGCD, v_BGCD, first))


def copy_columns(cache_PBGCD: Tensor, copies_N4: Tensor) -> None:
    """In each of P planes, one after the other: columns of one row over another's. int64: from which row, to which, the
    first column, and the one behind the last."""
    perform(kernels.copy(cache_PBGCD, copies_N4))
