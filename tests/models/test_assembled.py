"""A decoder that is assembled from other parts gets whatever the shipped ones get, without a line for it anywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from models.config import LoraConfig
from models.interface import CausalBatch, StateSize
from models.lora import attach, merge
from models.precision import convert
from models.quantization import Int8Linear, int8_supported
from models.training.fast import speed_up_on_cpu
from models.training.optimizer import layer_matrices
from tests.checkpoints import EVERYTHING, shaken
from tests.models.assembled import CONFIG, KV_HEADS, Assembled, assembled
from tests.models.tiny import prompts_of

CPU = torch.device("cpu")


def logits(model: Assembled) -> Tensor:
    return model(CausalBatch(tokens_BT=prompts_of(9, 9).tokens_BS))


def theirs(model: Assembled) -> Qwen2ForCausalLM:
    """Qwen 2 on the same weights: Llama with biases of queries, keys and values."""
    config = Qwen2Config(
        vocab_size=CONFIG.vocab_size,
        hidden_size=CONFIG.width,
        num_attention_heads=CONFIG.heads,
        num_key_value_heads=KV_HEADS,
        intermediate_size=CONFIG.feedforward,
        num_hidden_layers=CONFIG.layers,
        rms_norm_eps=CONFIG.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        tie_word_embeddings=False,
    )
    other, weights = Qwen2ForCausalLM(config).eval(), {}
    for number, layer in enumerate(model.layers):
        attention, feedforward, at = layer.self_attention, layer.feedforward, f"model.layers.{number}."
        rows = [count for _, count in attention.projections()["qkv"]]
        for name, weight, bias in zip(
            "qkv", attention.qkv.weight.split(rows), attention.qkv.bias.split(rows), strict=True
        ):
            weights |= {f"{at}self_attn.{name}_proj.weight": weight, f"{at}self_attn.{name}_proj.bias": bias}
        gate, up = feedforward.inner.weight.chunk(2)
        weights |= {
            f"{at}self_attn.o_proj.weight": attention.output.weight,
            f"{at}mlp.gate_proj.weight": gate,
            f"{at}mlp.up_proj.weight": up,
            f"{at}mlp.down_proj.weight": feedforward.outer.weight,
            f"{at}input_layernorm.weight": layer.self_norm.weight,
            f"{at}post_attention_layernorm.weight": layer.feedforward_norm.weight,
        }
    weights |= {
        "model.embed_tokens.weight": model.embedding.token.weight,
        "model.norm.weight": model.norm.weight,
        "lm_head.weight": model.embedding.output.weight,
    }
    other.load_state_dict(weights)
    return other


@torch.inference_mode()
def test_it_computes_what_transformers_computes_on_the_same_weights() -> None:
    model = assembled()
    tokens = prompts_of(9, 9).tokens_BS
    torch.testing.assert_close(logits(model), theirs(model)(tokens).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@torch.inference_mode()
def test_every_linear_layer_of_it_is_converted_and_it_answers_much_as_before(precision: str) -> None:
    if precision == "int8" and not int8_supported(CPU):
        pytest.skip("this CPU has no VNNI instructions")
    model, prompts = assembled(), prompts_of(5, 9)
    before = model.prefill(prompts, torch.tensor([0, 1]), model.new_state(StateSize(slots=2, length=24)))
    model, dtype = convert(model, precision, CPU)
    state = model.new_state(StateSize(slots=2, length=24, dtype=dtype))
    got = model.prefill(prompts, torch.tensor([0, 1]), state).float()
    assert (got - before).norm() / before.norm() < {"float32": 1e-5, "bfloat16": 0.05, "int8": 0.1}[precision]
    decoded = model.decode(torch.tensor([3, 4]), torch.tensor([5, 9]), state)
    assert decoded.isfinite().all()
    if precision == "int8":
        assert sum(isinstance(module, Int8Linear) for module in model.modules()) == 4 * CONFIG.layers + 1
        alone = model.decode(torch.tensor([3]), torch.tensor([5]), state.window(1, 24))
        assert torch.equal(alone[0], decoded[0]), "a row's numbers depend on that row alone"


def test_adapters_reach_all_of_its_projections_and_merge() -> None:
    model = assembled()
    plain, names = logits(model), list(model.state_dict())
    attach(model, LoraConfig(rank=2, targets=("feedforward",)))
    adapted = {name for name, _ in model.named_parameters() if "lora" in name and name.startswith("layers.0.")}
    assert adapted == {
        f"layers.0.feedforward.{name}.lora.feedforward.{factor}"
        for name in ("inner", "outer")
        for factor in ("down", "up")
    }
    assert torch.equal(logits(model), plain)
    expected = logits(shaken(model))
    merge(model)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)
    attach(model, EVERYTHING)
    assert model.layers[0].self_attention.qkv.lora.keys() == {"query", "key", "value"}


def test_its_fused_projections_are_matrices_of_their_own_to_muon() -> None:
    model = assembled()
    names = {parameter: name for name, parameter in model.named_parameters()}
    rows = {names[parameter]: rows for parameter, rows in layer_matrices(model).items()}
    assert rows["layers.0.self_attention.qkv.weight"] == (32, 16, 16)
    assert rows["layers.0.feedforward.inner.weight"] == (48, 48)
    assert len(rows) == 4 * CONFIG.layers


def test_quick_training_gives_its_gradients() -> None:
    gradients = []
    for quick in (False, True):
        model = assembled().train()
        if quick:
            speed_up_on_cpu(model)
        logits(model).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for mine, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert logits(model).isfinite().all()
