"""Functions of single numbers by kernels, where PyTorch's operators are several or slow."""

from __future__ import annotations

import torch
from torch import Tensor

from models.native import instructions as kernels
from models.native.instructions import Function
from models.native.programs import perform


def applied(function: Function, x: Tensor) -> Tensor | None:
    """None for a layout that the kernel cannot walk over."""
    out = torch.empty(x.shape)
    instruction = kernels.apply(function, x, out)
    if instruction is None:
        return None
    perform(instruction)
    return out
