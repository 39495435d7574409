"""Neighbouring calls of kernels as one: what follows a linear layer is done while its sums are in registers, and a
norm's rows become integers while they are in the nearest cache. The numbers are the same to the bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace

from torch import Tensor

from models.native.instructions import Combination, Function, Instruction, Kernel

LINEARS = {Kernel.LINEAR_INT8, Kernel.LINEAR_FLOAT32, Kernel.LINEAR_BFLOAT16}
ACTIVATION, DISTANCE = 4, 5  # of their sizes: the latter of a residual's rows
RESIDUAL, OUT = 6, 7  # of their operands
WITHOUT_NUMBERS = {each for each in Function if each not in (Function.SCALE, Function.CAP)}


def fused(instructions: Sequence[Instruction], results: Set[int]) -> list[Instruction]:
    """`results` are the storages that somebody reads afterwards."""
    mentions = Counter(
        storage for each in instructions for storage in {_storage(x) for x in each.operands if x is not None}
    )
    done: list[Instruction] = []
    for each in instructions:
        one = _one(done[-1], each, mentions, results) if done else None
        if one is None:
            done.append(each)
        else:
            done[-1] = one
    return done


def _one(first: Instruction, second: Instruction, mentions: Counter[int], results: Set[int]) -> Instruction | None:
    if first.kernel is Kernel.NORM and second.kernel is Kernel.QUANTIZE:
        return _quantized(first, second)
    if first.kernel not in LINEARS or first.operands[RESIDUAL] is not None:
        return None
    sums = _storage(_tensor(first.operands[OUT]))
    if mentions[sums] != 2 or sums in results:  # somebody else reads them, too
        return None
    if second.kernel is Kernel.APPLY:
        return _activated(first, second)
    return _added(first, second) if second.kernel is Kernel.COMBINE else None


def _quantized(norm: Instruction, quantize: Instruction) -> Instruction | None:
    rows, integers, largest = quantize.operands
    count, inputs, distance, padded = quantize.sizes
    own = norm.sizes
    if not _same(rows, norm.operands[3]) or (own[0], own[5]) != (count, 1) or (own[1], own[3]) != (inputs, distance):
        return None
    return replace(norm, operands=(*norm.operands[:4], integers, largest), sizes=(*own, padded))


def _activated(linear: Instruction, apply: Instruction) -> Instruction | None:
    x, out = apply.operands
    if linear.sizes[ACTIVATION] != Function.NONE or apply.sizes[0] not in WITHOUT_NUMBERS:
        return None
    if not _same(x, linear.operands[OUT]) or not _alike(out, linear):
        return None
    sizes = (*linear.sizes[:ACTIVATION], apply.sizes[0], *linear.sizes[ACTIVATION + 1 :])
    return replace(linear, operands=(*linear.operands[:OUT], _rows(out, linear)), sizes=sizes)


def _added(linear: Instruction, combine: Instruction) -> Instruction | None:
    a, b, out = combine.operands
    if combine.sizes[0] != Combination.ADD or combine.numbers != (1,) or not _alike(out, linear):
        return None
    residual = next((other for own, other in ((a, b), (b, a)) if _same(own, linear.operands[OUT])), None)
    if residual is None or not _alike(residual, linear) or _same(residual, linear.operands[OUT]):
        return None
    operands = (*linear.operands[:RESIDUAL], residual, _rows(out, linear))
    sizes = (*linear.sizes[:DISTANCE], linear.sizes[2], *linear.sizes[DISTANCE + 1 :])
    return replace(linear, operands=operands, sizes=sizes)


def _tensor(operand: Tensor | None) -> Tensor:
    assert operand is not None, "every kernel writes somewhere"
    return operand


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether they begin at the same place."""
    return one is not None and other is not None and one.data_ptr() == other.data_ptr()


def _alike(operand: Tensor | None, linear: Instruction) -> bool:
    """Whether it lies as the linear layer's outputs do, which fill their rows."""
    whole = _tensor(linear.operands[OUT])
    return (
        operand is not None and operand.is_contiguous() and whole.is_contiguous() and operand.numel() == whole.numel()
    )


def _rows(operand: Tensor | None, linear: Instruction) -> Tensor:
    return _tensor(operand).view(_tensor(linear.operands[OUT]).shape)
