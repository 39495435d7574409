"""The native linear layers against their twins in PyTorch, whatever the shape and whatever the numbers: in int8 the
same bits, in float32 and bfloat16 the same but for the order of sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.native import instructions as kernels
from models.native.library import instruction_set
from models.native.linear import NativeInt8Linear, NativeLinear
from models.native.programs import perform
from models.quantization import Int8Linear, quantized, vnni_supported
from models.shortlist import restrict

pytestmark = [
    pytest.mark.skipif(instruction_set() is None, reason="there are no kernels for this CPU, or none were built"),
    pytest.mark.skipif(not vnni_supported(), reason="this CPU has no VNNI instructions"),
]


def layers(inputs: int, outputs: int, *, bias: bool = True) -> tuple[NativeInt8Linear, Int8Linear]:
    weight, own = torch.randn(outputs, inputs), torch.randn(outputs) if bias else None
    return NativeInt8Linear(*quantized(weight, own)), Int8Linear(weight, own)


@settings(max_examples=60)
@given(
    rows=st.integers(1, 230), inputs=st.integers(2, 300), outputs=st.integers(1, 300), bias=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_it_gives_its_twins_numbers_to_the_bit(rows: int, inputs: int, outputs: int, bias: bool, seed: int) -> None:
    torch.manual_seed(seed)
    native, twin = layers(inputs, outputs, bias=bias)
    x = torch.randn(rows, inputs) * torch.logspace(-6, 6, rows)[:, None]
    with torch.inference_mode():
        assert torch.equal(native(x), twin(x))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 512, 32_001), (33, 2048, 512), (700, 256, 1024)])
@torch.inference_mode()
def test_threads_change_nothing(threads: int, rows: int, inputs: int, outputs: int) -> None:
    native, twin = layers(inputs, outputs)
    x = torch.randn(rows, inputs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(native(x), twin(x))
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def test_rows_may_lie_apart_and_in_any_number_of_dimensions() -> None:
    native, twin = layers(64, 48)
    wide = torch.randn(6, 200)
    assert torch.equal(native(wide[:, 8:72]), twin(wide[:, 8:72].contiguous()))
    assert torch.equal(native(wide[::2, 8:72]), twin(wide[::2, 8:72].contiguous()))
    deep = torch.randn(2, 3, 64)
    assert torch.equal(native(deep), twin(deep))
    assert torch.equal(native(deep.transpose(0, 1)), twin(deep.transpose(0, 1).contiguous()))
    assert native(torch.randn(0, 64)).shape == (0, 48)


@torch.inference_mode()
def test_a_row_of_zeros_gives_the_bias_and_one_without_numbers_none_and_neighbours_see_neither() -> None:
    native, _ = layers(40, 20)
    x = torch.randn(5, 40)
    alone = native(x[4:])
    x[0], x[1, 3], x[2, 39], x[3, 0] = 0, math.nan, math.inf, -math.inf
    out = native(x)
    assert torch.equal(out[0], native(torch.zeros(1, 40))[0])
    assert out[0].isfinite().all()
    assert not out[1:4].isfinite().any()
    assert torch.equal(out[4:], alone)


@torch.inference_mode()
def test_extremes_neither_overflow_nor_vanish() -> None:
    native, twin = layers(4096, 16)
    for size in (1e-37, 1e-20, 1e20, 1e37):
        x = torch.full((1, 4096), size)
        assert torch.equal(native(x), twin(x)), size
    largest = NativeInt8Linear(*quantized(torch.ones(16, 4096), None))
    assert (largest(torch.ones(2, 4096)) == 4096).all(), "sums of 4096 times 127 times 127"


FORMATS = [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("dtype", FORMATS)
@settings(max_examples=60)
@given(
    rows=st.integers(1, 230), inputs=st.integers(1, 300), outputs=st.integers(1, 300), bias=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_products_of_floats_are_exact_and_only_their_sums_are_rounded(
    dtype: torch.dtype, rows: int, inputs: int, outputs: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    weight, own = torch.randn(outputs, inputs).to(dtype), torch.randn(outputs) if bias else None
    x = torch.randn(rows, inputs) * torch.logspace(-6, 6, rows)[:, None]
    with torch.inference_mode():
        got = NativeLinear(weight, own)(x)
        x, weight = x.to(dtype).double(), weight.double()
        expected = torch.nn.functional.linear(x, weight, None if own is None else own.double())
        most = x.abs() @ weight.abs().T + (0 if own is None else own.abs())
    assert got.dtype is torch.float32
    assert ((got - expected).abs() <= most * inputs * 2**-24 + most * 2**-23).all()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("inputs", "outputs"), [(511, 2049), (256, 1024)])
@torch.inference_mode()
def test_a_rows_sums_are_those_it_gets_alone_to_the_bit(
    dtype: torch.dtype, threads: int, inputs: int, outputs: int
) -> None:
    linear = NativeLinear(torch.randn(outputs, inputs).to(dtype), torch.randn(outputs))
    x = torch.randn(211, inputs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = linear(x)
        for start, end in ((0, 1), (7, 9), (10, 15), (20, 120), (210, 211)):
            assert torch.equal(linear(x[start:end]), together[start:end])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", FORMATS)
@torch.inference_mode()
def test_rows_of_floats_may_lie_apart_and_neighbours_see_nothing_of_what_is_no_number(dtype: torch.dtype) -> None:
    linear = NativeLinear(torch.randn(48, 63).to(dtype), torch.randn(48))
    wide = torch.randn(12, 200)
    assert torch.equal(linear(wide[::2, 8:71]), linear(wide[::2, 8:71].contiguous()))
    deep = torch.randn(2, 3, 63)
    assert torch.equal(linear(deep.transpose(0, 1)), linear(deep.transpose(0, 1).contiguous()))
    assert linear(torch.randn(0, 63)).shape == (0, 48)
    x = torch.randn(5, 63)
    alone = linear(x[4:])
    x[0], x[1, 3], x[2, 62], x[3, 0] = 0, math.nan, math.inf, -math.inf
    out = linear(x)
    assert torch.equal(out[0], linear(torch.zeros(1, 63))[0])
    assert out[0].isfinite().all()
    assert not out[1:4].isfinite().any()
    assert torch.equal(out[4:], alone)


@settings(max_examples=60)
@given(rows=st.integers(1, 9), inputs=st.integers(1, 100), seed=st.integers(0, 99))
def test_rounding_gives_what_pytorch_gives_to_the_bit_and_fills_up_with_zeros(
    rows: int, inputs: int, seed: int
) -> None:
    any_bits = torch.randint(-(2**31), 2**31, (rows, inputs), generator=torch.Generator().manual_seed(seed))
    any_bits[-1, -1] = 2**31 - 1  # a NaN beyond which there is no integer
    x = any_bits.int().view(torch.float32)
    x[0, 0] = (math.nan, math.inf, -math.inf, 3.4e38, -0.0, 1e-45, 1 + 2**-8, 1 + 3 * 2**-8)[seed % 8]
    padded = inputs + inputs % 2
    got = torch.empty(rows, padded, dtype=torch.bfloat16)
    with torch.inference_mode():
        perform(kernels.rounded(x, got))
    expected = torch.nn.functional.pad(x.bfloat16(), (0, padded - inputs))
    assert torch.equal(got.isnan(), expected.isnan())
    assert torch.equal(got.nan_to_num(7).view(torch.int16), expected.nan_to_num(7).view(torch.int16))


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 256, 500), (5, 100, 77), (9, 64, 16), (3, 7, 21)])
@torch.inference_mode()
def test_the_outputs_of_a_rows_list_are_those_of_the_whole_layer_to_the_bit_and_others_minus_infinity(
    rows: int, inputs: int, outputs: int
) -> None:
    native, twin = layers(inputs, outputs, bias=False)
    x, chance = torch.randn(rows, inputs), np.random.default_rng(rows)
    lists = [np.sort(chance.permutation(outputs)[: 1 + 5 * row]).astype(np.int32) for row in range(rows)]
    lists_LN = torch.zeros(rows + 1, 1 + outputs, dtype=torch.int32)  # the last is empty: all outputs
    for row, own in enumerate(lists):
        lists_LN[row, 0] = len(own)
        lists_LN[row, 1 : 1 + len(own)] = torch.from_numpy(own)
    assert torch.equal(native.some(x, torch.arange(rows), lists_LN), restrict(twin(x), lists))
    assert torch.equal(native.some(x, torch.full((rows,), rows), lists_LN), twin(x))
