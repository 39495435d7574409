"""Functions of numbers and pairs of them by kernels, where PyTorch's operators are several or slow."""

from __future__ import annotations

import torch
from torch import Tensor

from models.native import instructions as kernels
from models.native.instructions import Function
from models.native.programs import perform


def applied(function: Function, x: Tensor, *numbers: float) -> Tensor | None:
    """None for a layout that the kernel cannot walk over."""
    out = torch.empty(x.shape)
    instruction = kernels.apply(function, x, out, *numbers)
    if instruction is None:
        return None
    perform(instruction)
    return out


def rotated(x_TND: Tensor, positions_T: Tensor, table_P21W: Tensor) -> Tensor:
    """[T, N, D]: queries and keys turned by their positions, by cosines and sines of `models.rotary.Rotary`."""
    x_TND = x_TND if x_TND.stride(2) == 1 else x_TND.contiguous()
    out_TND = torch.empty(x_TND.shape)
    perform(kernels.rotate(x_TND, positions_T, table_P21W, out_TND))
    return out_TND
