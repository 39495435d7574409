"""Attention of a decode step by kernels: each row looks at so many columns of its own, and nothing needs a mask.

Shapes: B rows, H query heads, G key/value heads, C columns, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.interface import Sharing
from models.native import instructions as kernels
from models.native.library import instruction_set
from models.native.programs import perform


@dataclass(frozen=True)
class Columns:
    """What the rows of a step attend to, in the place of a mask."""

    lengths: Tensor  # int64: the positions of the rows, or how many tokens each memory row has
    positions: bool
    bias_BHC: Tensor | None = None  # added to the scores


def attends(kv: Tensor) -> bool:
    """Whether there are kernels for what a cache holds."""
    return kv.is_cpu and kv.dtype is torch.float32 and instruction_set() is not None


def attend_columns(
    q_BHD: Tensor,
    k_BGCD: Tensor,
    v_BGCD: Tensor,
    columns: Columns,
    sharing: Sharing | None = None,
    *,
    scale: float,
    cap: float | None = None,
) -> Tensor:
    """[B, H * D]. With `sharing`, several rows read one row of keys and values."""
    out_BC = torch.empty(q_BHD.shape[0], q_BHD.shape[1] * q_BHD.shape[2])
    perform(
        kernels.attend_step(
            q_BHD,
            k_BGCD,
            v_BGCD,
            columns.lengths,
            out_BC,
            positions=columns.positions,
            places_R=None if sharing is None else sharing.places_B,
            width=1 if sharing is None else sharing.rows_MK.shape[1],
            bias_RHC=columns.bias_BHC,
            scale=scale,
            cap=cap,
        )
    )
    return out_BC


def write_step(kv_B2GD: Tensor, positions_B: Tensor, k_BGCD: Tensor, v_BGCD: Tensor) -> None:
    """One token's keys and values for every row, at its position; -1 writes to the scrap column."""
    perform(kernels.write_step(kv_B2GD, positions_B, k_BGCD, v_BGCD))
