"""Calls of kernels, as `kernels/instruction.h` has them. What operands and sizes a kernel wants stands there, above it.

Shapes: R rows, K inputs, N outputs, C width, H query heads, G key/value heads, D head width.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

OPERANDS, SIZES, NUMBERS = 8, 13, 2
_LAYOUT = struct.Struct(f"<q{OPERANDS}q{SIZES}q{NUMBERS}d")


class Kernel(IntEnum):
    """In the order of `KernelName`."""

    QUANTIZE = 0
    LINEAR_INT8 = 1
    NORM = 2
    APPLY = 3
    COMBINE = 4
    EMBED = 5
    CLAMP = 6
    ATTEND = 7
    WRITE = 8
    BEST = 9
    TOP = 10
    LINEAR = 11
    ROTATE = 12
    COPY = 13
    ROUND = 14
    LINEAR_FLOAT32 = 15
    LINEAR_BFLOAT16 = 16
    SHORTLIST = 17


class Function(IntEnum):
    """Of one number, in the order of `Function` there."""

    NONE = 0
    RELU = 1
    GELU = 2
    GELU_TANH = 3
    SILU = 4
    SIGMOID = 5
    TANH = 6
    SCALE = 7  # times the first number, plus the second
    CAP = 8  # softly below the first number


class Combination(IntEnum):
    """Of two numbers, in the order of `Combination` there."""

    ADD = 0  # the second times a factor
    MULTIPLY = 1


@dataclass(frozen=True, slots=True)
class Instruction:
    kernel: Kernel
    operands: tuple[Tensor | None, ...]
    sizes: tuple[int, ...]
    numbers: tuple[float, ...] = ()

    @property
    def rows(self) -> int:
        """Which of the sizes says how many rows there are."""
        return 1 if self.kernel in (Kernel.APPLY, Kernel.COMBINE) else 0

    def pack(self, address: Callable[[Tensor], int] = Tensor.data_ptr) -> bytes:
        """As the library reads it; `address` says where a tensor lies."""
        at = [0 if operand is None else address(operand) for operand in self.operands]
        at += [0] * (OPERANDS - len(at))
        sizes = (*self.sizes, *(0,) * (SIZES - len(self.sizes)))
        numbers = (*self.numbers, *(0.0,) * (NUMBERS - len(self.numbers)))
        return _LAYOUT.pack(self.kernel, *at, *sizes, *numbers)


def quantize(rows_RK: Tensor, integers_RK: Tensor, largest_R: Tensor) -> Instruction:
    """The integers may have more columns, which become zeros."""
    sizes = (*rows_RK.shape, rows_RK.stride(0), integers_RK.shape[1])
    return Instruction(Kernel.QUANTIZE, (rows_RK, integers_RK, largest_R), sizes)


def rounded(rows_RK: Tensor, halves_RK: Tensor) -> Instruction:
    """To bfloat16, which may have more columns: they become zeros."""
    sizes = (*rows_RK.shape, rows_RK.stride(0), halves_RK.shape[1])
    return Instruction(Kernel.ROUND, (rows_RK, halves_RK), sizes)


def linear_int8(
    integers_RK: Tensor,
    largest_R: Tensor,
    weights: Tensor,
    scales_N: Tensor,
    offsets_N: Tensor,
    bias_N: Tensor,
    out_RN: Tensor,
) -> Instruction:
    """Weights are packed [N / 16, K / 4, 16, 4], and with scales, offsets and bias filled up to whole blocks."""
    operands = (integers_RK, largest_R, weights, scales_N, offsets_N, bias_N, None, out_RN)
    sizes = (*integers_RK.shape, out_RN.shape[1], out_RN.stride(0), Function.NONE, 0)
    return Instruction(Kernel.LINEAR_INT8, operands, sizes)


def linear_packed(x_RK: Tensor, weights: Tensor, bias_N: Tensor, out_RN: Tensor) -> Instruction:
    """Weights are packed [N / 16, K, 16, 1] in float32, [N / 16, K / 2, 16, 2] in bfloat16, as the rows are, and with
    the bias filled up to whole blocks."""
    kernel = Kernel.LINEAR_BFLOAT16 if weights.dtype is torch.bfloat16 else Kernel.LINEAR_FLOAT32
    sizes = (*x_RK.shape, out_RN.shape[1], out_RN.stride(0), Function.NONE, 0, x_RK.stride(0))
    return Instruction(kernel, (x_RK, None, weights, None, None, bias_N, None, out_RN), sizes)


def linear(x_RK: Tensor, weight_NK: Tensor, bias_N: Tensor | None, out_RN: Tensor) -> Instruction:
    """For small ones, whose weights nobody has packed."""
    sizes = (*x_RK.shape, weight_NK.shape[0], x_RK.stride(0), weight_NK.stride(0), out_RN.stride(0))
    return Instruction(Kernel.LINEAR, (x_RK, weight_NK, bias_N, out_RN), sizes)


def norm(
    x_RNC: Tensor, weight_C: Tensor, bias_C: Tensor | None, out_RNC: Tensor, *, epsilon: float, centred: bool
) -> Instruction:
    """Layer normalization (Ba et al. 2016), or without taking the mean off (Zhang and Sennrich 2019)."""
    rows, vectors, width = x_RNC.shape
    sizes = (
        *(rows, width, x_RNC.stride(0), out_RNC.stride(0), int(centred)),
        *(vectors, x_RNC.stride(1), out_RNC.stride(1)),
    )
    return Instruction(Kernel.NORM, (x_RNC, weight_C, bias_C, out_RNC), sizes, (epsilon,))


def rotate(x_RND: Tensor, positions_R: Tensor, table_P2W: Tensor, out_RND: Tensor) -> Instruction:
    """`models.rotary.Rotary`, which makes the table."""
    sizes = (*x_RND.shape, table_P2W.shape[-1], *x_RND.stride()[:2], *out_RND.stride()[:2])
    return Instruction(Kernel.ROTATE, (x_RND, positions_R, table_P2W, out_RND), sizes)


def apply(function: Function, x: Tensor, out: Tensor, *numbers: float) -> Instruction | None:
    """None for a layout that the kernel cannot walk over."""
    walk = _walk(out, x)
    if walk is None:
        return None
    shape, (of_out, of_x) = walk
    return Instruction(Kernel.APPLY, (x, out), (function, *shape, *of_x, *of_out), numbers)


def combine(function: Combination, a: Tensor, b: Tensor, out: Tensor, factor: float = 1) -> Instruction | None:
    """`a` and `b` broadcast to `out`; None for a layout that the kernel cannot walk over."""
    walk = _walk(out, a.expand_as(out), b.expand_as(out))
    if walk is None:
        return None
    shape, (of_out, of_a, of_b) = walk
    return Instruction(Kernel.COMBINE, (a, b, out), (function, *shape, *of_a, *of_b, *of_out), (factor,))


def embed(table_VC: Tensor, indices: Tensor, out: Tensor, size: int) -> Instruction | None:
    """An index of `size` or more, or below 0, gives no numbers."""
    if not (table_VC.stride(1) == 1 and indices.is_contiguous() and out.is_contiguous()):
        return None
    sizes = (indices.numel(), table_VC.shape[1], table_VC.stride(0), table_VC.shape[1], size)
    return Instruction(Kernel.EMBED, (indices, table_VC, out), sizes)


def clamp(x: Tensor, least: float | None, most: float | None, out: Tensor) -> Instruction | None:
    """Of int64."""
    if not (x.is_contiguous() and out.is_contiguous() and x.dtype is torch.int64):
        return None
    limits = torch.iinfo(torch.int64)
    sizes = (x.numel(), limits.min if least is None else int(least), limits.max if most is None else int(most))
    return Instruction(Kernel.CLAMP, (x, out), sizes)


def attend(
    q_RHD: Tensor,
    k_BGCD: Tensor,
    v_BGCD: Tensor,
    lengths: Tensor,
    places_R: Tensor,
    out_RC: Tensor,
    *,
    positions: bool,
    width: int,
    bias_RHC: Tensor | None,
    scale: float,
    cap: float | None,
) -> Instruction:
    """`lengths` are positions [R] in a cache whose column 0 is scrap, or the tokens [B] that each of its rows has.
    Query r reads row `places_R[r] / width`."""
    sizes = (
        *(q_RHD.shape[0], q_RHD.shape[1], k_BGCD.shape[1], q_RHD.shape[2], q_RHD.stride(0)),
        *k_BGCD.stride()[:3],
        *((0, 0) if bias_RHC is None else (bias_RHC.stride(0), bias_RHC.stride(1) if bias_RHC.shape[1] > 1 else 0)),
        *(out_RC.stride(0), int(positions), width),
    )
    operands = (q_RHD, k_BGCD, v_BGCD, lengths, places_R, bias_RHC, out_RC)
    return Instruction(Kernel.ATTEND, operands, sizes, (scale, cap or 0.0))


def write(
    kv_R2GD: Tensor, rows_R: Tensor, positions_R: Tensor, k_BGCD: Tensor, v_BGCD: Tensor, first: int
) -> Instruction:
    """`first` is the column of position 0."""
    rows, _, groups, width = kv_R2GD.shape
    sizes = (rows, groups, width, kv_R2GD.stride(0), *k_BGCD.stride()[:3], first)
    return Instruction(Kernel.WRITE, (kv_R2GD, rows_R, positions_R, k_BGCD, v_BGCD), sizes)


def copy(cache_PBGCD: Tensor, copies_R4: Tensor) -> Instruction:
    """P planes, each with all rows."""
    planes, _, groups, _, width = cache_PBGCD.shape
    sizes = (copies_R4.shape[0], planes, groups, width, *cache_PBGCD.stride()[:4])
    return Instruction(Kernel.COPY, (cache_PBGCD, copies_R4), sizes)


def best(logits_RV: Tensor, tokens_R: Tensor) -> Instruction:
    return Instruction(Kernel.BEST, (logits_RV, tokens_R), (*logits_RV.shape, logits_RV.stride(0)))


def top(logits_RV: Tensor, values_RN: Tensor, tokens_RN: Tensor, totals_R: Tensor) -> Instruction:
    """N is V at most; the totals are the logarithms of the sums of all exponentials."""
    sizes = (*logits_RV.shape, logits_RV.stride(0), values_RN.shape[1])
    return Instruction(Kernel.TOP, (logits_RV, values_RN, tokens_RN, totals_R), sizes)


def shortlist(
    integers_RK: Tensor,
    largest_R: Tensor,
    weights_VK: Tensor,
    scales_V: Tensor,
    offsets_V: Tensor,
    own_R: Tensor,
    lists_LN: Tensor,
    out_RV: Tensor,
) -> Instruction:
    """`own_R` says which list is a row's; a list is how many tokens it has, and these."""
    operands = (integers_RK, largest_R, weights_VK, scales_V, offsets_V, own_R, lists_LN, out_RV)
    sizes = (*integers_RK.shape, out_RV.shape[1], lists_LN.stride(0), lists_LN.shape[0])
    return Instruction(Kernel.SHORTLIST, operands, sizes)


def _walk(*tensors: Tensor) -> tuple[list[int], list[list[int]]] | None:
    """The same shape of all in three dimensions, and their strides. The first dimension is the tensors' own; innermost
    strides are 1, or 0 for a single number."""
    if any(tensor.dtype is not torch.float32 for tensor in tensors) or tensors[0].dim() == 0:
        return None
    shape = [tensors[0].shape[0]]
    strides = [[tensor.stride(0)] for tensor in tensors]
    for dimension, size in enumerate(tensors[0].shape[1:], start=1):
        own = [tensor.stride(dimension) for tensor in tensors]
        if size == 1:
            continue
        if len(shape) > 1 and all(outer[-1] == inner * size for outer, inner in zip(strides, own, strict=True)):
            shape[-1] *= size
            for each, inner in zip(strides, own, strict=True):
                each[-1] = inner
        else:
            shape.append(size)
            for each, inner in zip(strides, own, strict=True):
                each.append(inner)
    if len(shape) == 1:  # a number a row
        shape, strides = [*shape, 1], [[*each, 1] for each in strides]
    if len(shape) > 3 or any(each[-1] > 1 for each in strides) or strides[0][-1] != 1:
        return None
    if len(shape) == 2:
        shape, strides = [shape[0], 1, shape[1]], [[each[0], 0, each[1]] for each in strides]
    return shape, strides
