from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from models.config import Config, GPTConfig
from models.interface import StateSize
from models.parts import replace_linears
from models.quantization import Int8Linear, vnni_supported
from tests.models.tiny import BERTS, CONFIGS, ENCODERS, built, prompts_of, row_of, state_for

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(not vnni_supported(), reason="this CPU has no VNNI instructions")


def reference(x: torch.Tensor, linear: nn.Linear) -> torch.Tensor:
    """The definition in exact integers."""
    scales_N = linear.weight.abs().amax(1) / 127
    scales_R = x.abs().amax(1, keepdim=True) / 127
    weights = (linear.weight / scales_N[:, None]).round().long()
    inputs = (x * (1 / scales_R)).round().long()
    return (inputs @ weights.T).float() * scales_R * scales_N + linear.bias


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 8), (64, 200), (512, 48), (37, 5)])
def test_a_linear_layer_is_the_definition(inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(inputs, outputs), torch.randn(9, inputs) * torch.logspace(-3, 3, 9)[:, None]
    with torch.inference_mode():
        got, expected = Int8Linear(linear.weight, linear.bias)(x), reference(x, linear)
    torch.testing.assert_close(got, expected, rtol=2e-5, atol=2e-5)


# Inputs and outputs of each class of layer: small, wide, deep, a vocabulary, and sizes no vector width divides.
LAYERS = [(64, 96), (512, 1536), (512, 2048), (2048, 512), (768, 3072), (32, 9001), (37, 5), (100, 1537)]


@pytest.mark.parametrize(("inputs", "outputs"), LAYERS)
def test_a_row_gets_the_same_numbers_alone_and_beside_any_neighbours(inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    linear = Int8Linear(torch.randn(outputs, inputs), torch.randn(outputs))
    x = torch.randn(150, inputs)
    x[1] *= 1e4  # an outlier, which would spoil its neighbours under one scale for all
    alone = torch.cat([linear(x[row : row + 1]) for row in range(3)])
    for rows in (2, 3, 8, 31, 32, 33, 150):
        together = linear(x[:rows])[:3]
        assert torch.equal(together, alone[: len(together)]), rows
    assert torch.equal(linear(x[:3].reshape(3, 1, inputs))[:, 0], alone)


def test_a_row_of_a_long_prefill_gets_the_same_numbers_too() -> None:
    linear = Int8Linear(torch.randn(9, 16), torch.randn(9))
    x = torch.randn(2, 1100, 16)
    together = linear(x)
    assert torch.equal(together[1, 7], linear(x[1, 7:8])[0])
    assert torch.equal(together[0, 1050], linear(x[0, 1050:1051])[0])


@pytest.mark.parametrize("inputs", [64, 2048, 8192])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_both_kernels_give_the_same_numbers(inputs: int, rows: int) -> None:
    """Also where a sum needs more digits than a float32 has: 8192 products of 127 by 127 and an odd one."""
    torch.manual_seed(0)
    linear = Int8Linear(torch.randn(50, inputs).sign() * torch.rand(50, 1), None)
    values = torch.cat([torch.full((rows, inputs - 1), 127.0), torch.randint(-127, 128, (rows, 1)).float()], 1)
    for signs in (torch.ones(rows, inputs), torch.randn(rows, inputs).sign()):
        linear._few_rows = rows
        plain = linear._multiply(values * signs)
        linear._few_rows = 0
        assert torch.equal(linear._multiply(values * signs), plain)


def test_rows_and_channels_of_zeros_give_the_bias() -> None:
    bias = torch.tensor([1.0, 2.0])
    linear = Int8Linear(torch.zeros(2, 8), bias)
    assert torch.equal(linear(torch.zeros(3, 8)), bias.expand(3, 2))


@pytest.mark.parametrize("rows", [1, 2, 40, 2000])
def test_a_row_of_zeros_gives_the_bias_and_leaves_its_neighbours_alone(rows: int) -> None:
    torch.manual_seed(0)
    linear = Int8Linear(torch.randn(96, 64), torch.randn(96))
    x = torch.randn(rows, 64)
    expected = linear(x)
    x[-1] = 0
    got = linear(x)
    assert torch.equal(got[-1], linear._bias_N)
    assert torch.equal(got[:-1], expected[:-1])


@pytest.mark.parametrize("config", [*CONFIGS.values(), *ENCODERS.values()], ids=[*CONFIGS, *ENCODERS])
@torch.inference_mode()
def test_a_quantized_model_stays_close_to_the_exact_one_and_alone_to_batched(config: Config) -> None:
    model = built(config)
    quantized = replace_linears(copy.deepcopy(model), Int8Linear)
    prompts, slots = prompts_of(3, 9, 1), torch.tensor([0, 1, 2])
    exact = model.prefill(prompts, slots, state_for(model))
    got = quantized.prefill(prompts, slots, state_for(quantized))
    assert not torch.equal(got, exact)
    error = (got - exact).norm() / exact.norm()
    assert error < 0.1, error
    for row in range(3):
        alone = quantized.prefill(row_of(prompts, row), torch.tensor([0]), state_for(quantized))[0]
        torch.testing.assert_close(alone, got[row], atol=2e-2, rtol=2e-2)


@torch.inference_mode()
def test_a_decode_step_gives_the_same_numbers_alone_and_batched_in_any_window() -> None:
    config = GPTConfig(vocab_size=300, width=128, heads=4, feedforward=512, layers=3, context=128)
    model = replace_linears(built(config), Int8Linear)
    cache = model.new_state(StateSize(slots=12, length=100))
    cache.slots_kv.normal_()
    tokens, positions = torch.arange(12), torch.arange(12) + 10
    alone = model.decode(tokens[:1], positions[:1], cache.window(1, 32))[0]
    for rows, length in ((1, 64), (2, 32), (8, 64), (12, 100)):
        together = model.decode(tokens[:rows], positions[:rows], cache.window(rows, length))[0]
        assert torch.equal(together, alone), (rows, length)


def named(model: nn.Module, kind: type[nn.Module]) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, kind)}


def test_only_layers_and_the_vocabulary_projection_are_replaced() -> None:
    inside = ("self_attention.qkv", "self_attention.output", "feedforward.inner", "feedforward.outer")
    layers = {f"layers.{number}.{name}" for number in range(2) for name in inside}
    gpt = replace_linears(built(CONFIGS["gpt-pre"]), Int8Linear)
    bert = replace_linears(built(BERTS["bert-post"]), Int8Linear)
    assert named(gpt, Int8Linear) == layers | {"embedding.output"}
    assert named(gpt, nn.Linear) == set()
    assert named(bert, Int8Linear) == layers
    assert named(bert, nn.Linear) == {"pooler", "classifier", "masked_word_head.transform", "next_sentence_head"}
