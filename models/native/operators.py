"""Which kernel does what an operator of PyTorch does: each entry gives the call for its output and its arguments, or
None where no kernel does just that. The output of one that changes a tensor is that tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.native import instructions as kernels
from models.native.instructions import Combination, Function, Instruction

aten = torch.ops.aten

ALLOCATIONS = frozenset(
    {aten.empty.memory_format, aten.new_empty.default, aten.empty_like.default, aten.empty_strided.default}
)


def _add(out: Tensor, a: Tensor, b: Tensor | float, alpha: float = 1) -> Instruction | None:
    if isinstance(b, Tensor):
        return kernels.combine(Combination.ADD, a, b, out, alpha)
    return kernels.apply(Function.SCALE, a, out, 1, b * alpha)


def _multiply(out: Tensor, a: Tensor, b: Tensor | float) -> Instruction | None:
    if isinstance(b, Tensor):
        return kernels.combine(Combination.MULTIPLY, a, b, out)
    return kernels.apply(Function.SCALE, a, out, b, 0)


def _gelu(out: Tensor, x: Tensor, approximate: str = "none") -> Instruction | None:
    return kernels.apply(Function.GELU if approximate == "none" else Function.GELU_TANH, x, out)


def _layer_norm(
    out: Tensor,
    x: Tensor,
    shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    epsilon: float = 1e-5,
    *_: bool,
) -> Instruction | None:
    return _norm(out, x, shape, weight, bias, epsilon, centred=True)


def _rms_norm(
    out: Tensor, x: Tensor, shape: list[int], weight: Tensor | None = None, epsilon: float | None = None
) -> Instruction | None:
    epsilon = torch.finfo(x.dtype).eps if epsilon is None else epsilon
    return _norm(out, x, shape, weight, None, epsilon, centred=False)


def _norm(
    out: Tensor,
    x: Tensor,
    shape: list[int],
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    *,
    centred: bool,
) -> Instruction | None:
    if len(shape) != 1 or weight is None or x.dim() not in (2, 3) or x.stride(-1) != 1:
        return None
    x, out = (each.unsqueeze(1) if each.dim() == 2 else each for each in (x, out))
    return kernels.norm(x, weight, bias, out, epsilon=epsilon, centred=centred)


def _copy(out: Tensor, target: Tensor, source: Tensor, non_blocking: bool = False) -> Instruction | None:
    return kernels.apply(Function.NONE, source, target)


def _cat(out: Tensor, parts: list[Tensor], dimension: int = 0) -> list[Instruction] | None:
    places = out.split([part.shape[dimension] for part in parts], dim=dimension)
    copies = [kernels.apply(Function.NONE, part, place) for part, place in zip(parts, places, strict=True)]
    return None if dimension in (0, -out.dim()) else _all(copies)


def _all(found: list[Instruction | None]) -> list[Instruction] | None:
    there = [each for each in found if each is not None]
    return there if len(there) == len(found) else None


def _linear(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Instruction | None:
    if x.dim() != 2 or x.stride(1) != 1 or weight.stride(1) != 1 or x.dtype is not torch.float32:
        return None
    return kernels.linear(x, weight, bias, out)


def _select(out: Tensor, x: Tensor, dimension: int, indices: Tensor) -> Instruction | None:
    if dimension != 0 or x.dim() != 2 or x.dtype is not torch.float32:
        return None
    return kernels.embed(x, indices, out, torch.iinfo(torch.int64).max)  # as many as the program is run for


def _embedding(out: Tensor, table: Tensor, indices: Tensor, *_: Any) -> Instruction | None:
    return kernels.embed(table, indices, out, table.shape[0])


def _clamp(out: Tensor, x: Tensor, min: float | None = None, max: float | None = None) -> Instruction | None:
    return kernels.clamp(x, min, max, out)


def _function(function: Function) -> Callable[..., Instruction | None]:
    return lambda out, x: kernels.apply(function, x, out)


KERNELS: Mapping[Any, Callable[..., Instruction | list[Instruction] | None]] = {
    aten.add.Tensor: _add,
    aten.mul.Tensor: _multiply,
    aten.relu.default: _function(Function.RELU),
    aten.silu.default: _function(Function.SILU),
    aten.sigmoid.default: _function(Function.SIGMOID),
    aten.tanh.default: _function(Function.TANH),
    aten.gelu.default: _gelu,
    aten.layer_norm.default: _layer_norm,
    aten.rms_norm.default: _rms_norm,
    aten.copy_.default: _copy,
    aten.cat.default: _cat,
    aten.embedding.default: _embedding,
    aten.index_select.default: _select,
    aten.linear.default: _linear,
    aten.clamp.default: _clamp,
}
