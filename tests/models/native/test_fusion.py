"""Neighbouring kernels as one: fewer calls, and the numbers that each by itself gives."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.native import programs
from models.native.instructions import Kernel
from models.native.library import instruction_set
from models.native.linear import NativeInt8Linear, NativeLinear
from models.native.programs import EXTENTS, Program, Recorder
from models.quantization import quantized

pytestmark = pytest.mark.skipif(
    instruction_set() is None, reason="there are no kernels for this CPU, or none were built"
)

WIDTH, WIDER, ROOM = 50, 77, 300
torch.manual_seed(0)
WEIGHT, BIAS = torch.randn(WIDTH), torch.randn(WIDTH)
UP = NativeInt8Linear(*quantized(torch.randn(WIDER, WIDTH), torch.randn(WIDER)))
DOWN = NativeInt8Linear(*quantized(torch.randn(WIDTH, WIDER), torch.randn(WIDTH)))
FLOATS = {
    dtype: (
        NativeLinear(torch.randn(WIDER, WIDTH).to(dtype), torch.randn(WIDER)),
        NativeLinear(torch.randn(WIDTH, WIDER).to(dtype), None),
    )
    for dtype in (torch.float32, torch.bfloat16)
}


def normed(x: Tensor) -> Tensor:
    return F.layer_norm(x, (WIDTH,), WEIGHT, BIAS)


def of_floats(x: Tensor, dtype: torch.dtype) -> Tensor:
    up, down = FLOATS[dtype]
    return x + down(F.relu(up(normed(x))))


LAYERS: dict[str, tuple[Callable[[Tensor], Tensor], list[Kernel]]] = {
    "before the norm": (
        lambda x: x + DOWN(F.relu(UP(normed(x)))),
        [Kernel.NORM, Kernel.LINEAR_INT8, Kernel.QUANTIZE, Kernel.LINEAR_INT8],
    ),
    "in float32": (
        lambda x: of_floats(x, torch.float32),
        [Kernel.NORM, Kernel.LINEAR_FLOAT32, Kernel.LINEAR_FLOAT32],
    ),
    "in bfloat16": (
        lambda x: of_floats(x, torch.bfloat16),
        [Kernel.NORM, Kernel.ROUND, Kernel.LINEAR_BFLOAT16, Kernel.ROUND, Kernel.LINEAR_BFLOAT16],
    ),
    "behind it": (
        lambda x: normed(DOWN(F.gelu(UP(x))) + x),
        [Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.NORM],
    ),
    "with a norm that is used again": (
        lambda x: (y := normed(x)) + DOWN(F.silu(UP(y))),
        [Kernel.NORM, Kernel.LINEAR_INT8, Kernel.QUANTIZE, Kernel.LINEAR_INT8],
    ),
    "whose sums are used again": (
        lambda x: (y := DOWN(UP(x))) + F.relu(y),
        [Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.APPLY, Kernel.COMBINE],
    ),
    "added to themselves": (
        lambda x: (y := DOWN(UP(x))) + y,
        [Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.COMBINE],
    ),
    "added to a column": (
        lambda x: DOWN(UP(x)) + x[:, :1],
        [Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.COMBINE],
    ),
    "less something": (
        lambda x: torch.add(DOWN(UP(x)), x, alpha=-1),
        [Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.COMBINE],
    ),
    "of which a part is rectified": (
        lambda x: F.relu(DOWN(UP(x))[:, :9]),
        [Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.APPLY],
    ),
    "scaled": (
        lambda x: DOWN(UP(x)) * 0.3,
        [Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.QUANTIZE, Kernel.LINEAR_INT8, Kernel.APPLY],
    ),
}


def kernels(program: Program) -> list[Kernel]:
    size = len(program.packed) // program.instructions
    return [Kernel(struct.unpack_from("<q", program.packed, at)[0]) for at in range(0, len(program.packed), size)]


@pytest.mark.parametrize("name", LAYERS)
@torch.inference_mode()
def test_what_follows_is_done_at_once_and_gives_the_same_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, expected = LAYERS[name]
    x = torch.zeros(ROOM, WIDTH)

    def recorded() -> Program:
        return Recorder()(lambda: [layer(x[: EXTENTS[0]])], [ROOM])

    program = recorded()
    monkeypatch.setattr(programs, "fused", lambda instructions, results: instructions)
    plain = recorded()
    assert kernels(program) == expected
    assert len(kernels(plain)) >= len(expected)
    for rows in (1, 7, ROOM):
        x.copy_(torch.randn(ROOM, WIDTH) * 3)
        x[0, 3] = torch.nan if rows == 7 else x[0, 3]
        program.run(rows)
        plain.run(rows)
        assert torch.equal(program.results[0][:rows].nan_to_num(77.0), plain.results[0][:rows].nan_to_num(77.0))
        assert program.results[0][:rows].isnan().any() == (rows == 7)


@torch.inference_mode()
def test_what_somebody_reads_afterwards_is_written() -> None:
    x = torch.zeros(ROOM, WIDTH)

    def both() -> list[Tensor]:
        sums = DOWN(UP(x[: EXTENTS[0]]))
        return [sums, F.relu(sums)]

    program = Recorder()(both, [ROOM])
    x.copy_(torch.randn(ROOM, WIDTH))
    program.run(5)
    sums = DOWN(UP(x[:5]))
    assert torch.equal(program.results[0][:5], sums)
    assert torch.equal(program.results[1][:5], F.relu(sums))
