"""What a Llama computes, and that it gets whatever the other architectures get without a line for it anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig as HuggingFaceLlamaConfig
from transformers import LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from models.architectures import config_from_dict
from models.config import ConfigError, LoraConfig
from models.interface import CausalBatch, StateSize
from models.llama import Llama, LlamaConfig
from models.lora import attach, merge
from models.native.linear import NativeInt8Linear
from models.packed import packing_supported
from models.precision import convert
from models.quantization import Int8Linear, int8_supported
from models.rotary import Rotation
from models.training.fast import speed_up_on_cpu
from models.training.optimizer import layer_matrices
from tests.checkpoints import EVERYTHING, shaken
from tests.models.tiny import CONFIGS, LLAMA, built, prompts_of

CPU = torch.device("cpu")


def logits(model: Llama) -> Tensor:
    return model(CausalBatch(tokens_BT=prompts_of(9, 9).tokens_BS))


SCALINGS: dict[str, tuple[Rotation, dict[str, Any]]] = {
    "default": (Rotation(theta=500.0), {}),
    "linear": (Rotation(theta=500.0, scaling="linear", factor=4.0), {"factor": 4.0}),
    "llama3": (
        Rotation(
            theta=500.0, scaling="llama3", factor=4.0, trained_context=16, low_frequency_factor=0.5,
            high_frequency_factor=2.0,
        ),
        {
            "factor": 4.0, "original_max_position_embeddings": 16, "low_freq_factor": 0.5, "high_freq_factor": 2.0,
        },
    ),
}  # fmt: skip
SHAPES = {
    "grouped": LLAMA,
    "tied": replace(LLAMA, tied_embeddings=True, kv_heads=None),
    "biased": replace(LLAMA, qkv_bias=True, output_bias=True, feedforward_bias=True),
}


def theirs(model: Llama, other: PreTrainedModel) -> PreTrainedModel:
    """Llama, or Qwen 2, of `transformers`, on the same weights."""
    weights: dict[str, Tensor] = {}

    def put(name: str, ours: nn.Linear | nn.Module, rows: slice = slice(None)) -> None:
        weights[f"{name}.weight"] = ours.weight[rows]
        if getattr(ours, "bias", None) is not None:
            weights[f"{name}.bias"] = ours.bias[rows]

    for number, layer in enumerate(model.layers):
        attention, feedforward, at = layer.self_attention, layer.feedforward, f"model.layers.{number}."
        start = 0
        for name, (_, count) in zip("qkv", attention.projections()["qkv"], strict=True):
            put(f"{at}self_attn.{name}_proj", attention.qkv, slice(start, start + count))
            start += count
        put(f"{at}self_attn.o_proj", attention.output)
        put(f"{at}mlp.gate_proj", feedforward.inner, slice(0, feedforward.hidden))
        put(f"{at}mlp.up_proj", feedforward.inner, slice(feedforward.hidden, None))
        put(f"{at}mlp.down_proj", feedforward.outer)
        put(f"{at}input_layernorm", layer.self_norm)
        put(f"{at}post_attention_layernorm", layer.feedforward_norm)
    put("model.embed_tokens", model.embedding.token)
    put("model.norm", model.norm)
    put("lm_head", model.embedding.output or model.embedding.token)
    other.load_state_dict(weights)
    return other.eval()


def sizes(config: LlamaConfig) -> dict[str, Any]:
    """As `transformers` calls them."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads or config.heads,
        "intermediate_size": config.feedforward,
        "num_hidden_layers": config.layers,
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.tied_embeddings,
        "max_position_embeddings": config.context,
    }


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_it_computes_what_transformers_computes_on_the_same_weights(shape: str, scaling: str) -> None:
    rotation, theirs_of_it = SCALINGS[scaling]
    config = replace(SHAPES[shape], rotation=rotation)
    model = built(config)
    assert isinstance(model, Llama)
    rope = {"rope_type": scaling, "rope_theta": rotation.theta, **theirs_of_it}
    other = LlamaForCausalLM(
        HuggingFaceLlamaConfig(
            **sizes(config), rope_parameters=rope, attention_bias=config.qkv_bias, mlp_bias=config.feedforward_bias
        )
    )
    tokens = prompts_of(20, 20).tokens_BS
    mine = model(CausalBatch(tokens_BT=tokens))
    torch.testing.assert_close(mine, theirs(model, other)(tokens).logits, atol=2e-5, rtol=1e-5)


@torch.inference_mode()
def test_with_biases_of_queries_keys_and_values_it_is_qwen_2() -> None:
    config = replace(LLAMA, qkv_bias=True)
    model = built(config)
    assert isinstance(model, Llama)
    rope = {"rope_type": "default", "rope_theta": config.rotation.theta}
    other = Qwen2ForCausalLM(Qwen2Config(**sizes(config), rope_parameters=rope))
    expected = theirs(model, other)(prompts_of(9, 9).tokens_BS).logits
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kv_heads": 3}, "kv_heads is 3, expected a divisor of heads 4"),
        ({"norm": "post"}, "norm is 'post', expected 'pre'"),
        ({"width": 36, "heads": 12, "kv_heads": 4}, "makes heads of odd width 3"),
        ({"rotation": {"theta": 0.5}}, "rotary theta is 0.5"),
        ({"rotation": {"scaling": "ntk"}}, "rotary scaling is 'ntk', expected one of none, linear, dynamic, llama3"),
        ({"rotation": {"speed": 2}}, "rotation: .*'speed'"),
        ({"unrotated": [2]}, "unrotated has 2, there are layers 0 to 1"),
        ({"local_layers": [1]}, r"local_rotation is None, with local_layers \[1\]"),
        ({"local_layers": [1], "local_rotation": {"theta": 0.5}}, "rotary theta is 0.5"),
        ({"attention_cap": 0.0}, "attention_cap is 0.0, expected a number above 0"),
    ],
)
def test_a_config_that_no_model_can_be_built_from_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict({**LLAMA.to_dict(), **change})


@pytest.mark.parametrize("name", ["llama", "gemma"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@torch.inference_mode()
def test_every_linear_layer_of_it_is_converted_and_it_answers_much_as_before(precision: str, name: str) -> None:
    if precision == "int8" and not int8_supported(CPU):
        pytest.skip("this CPU has no VNNI instructions")
    model, prompts, slots = built(CONFIGS[name]), prompts_of(5, 9), torch.tensor([0, 1])
    tokens, positions = torch.tensor([3, 4]), torch.tensor([5, 9])
    state = model.new_state(StateSize(slots=2, length=24))
    exact = torch.stack([model.prefill(prompts, slots, state), model.decode(tokens, positions, state)])
    model, dtype = convert(model, precision, CPU)
    if precision == "int8" or packing_supported(CPU, dtype):
        assert not any(isinstance(module, nn.Linear) for module in model.modules())
    state = model.new_state(StateSize(slots=2, length=24, dtype=dtype))
    got = torch.stack([model.prefill(prompts, slots, state), model.decode(tokens, positions, state)])
    assert (got - exact).norm() / exact.norm() < {"float32": 1e-5, "bfloat16": 0.05, "int8": 0.1}[precision]
    if precision == "int8":
        converted = [module for module in model.modules() if isinstance(module, Int8Linear | NativeInt8Linear)]
        assert len(converted) == 4 * LLAMA.layers + 1
        alone = model.decode(tokens[:1], positions[:1], state.window(1, 24))
        assert torch.equal(alone[0], got[1, 0]), "a row's numbers depend on that row alone"


def test_its_norms_are_the_papers_formula_with_the_epsilon_of_its_config() -> None:
    """Equation 4 of Zhang and Sennrich 2019."""
    model, x = built(replace(LLAMA, norm_epsilon=0.5)), torch.randn(3, 32)
    norms = [module for module in model.modules() if isinstance(module, nn.RMSNorm)]
    assert len(norms) == 2 * LLAMA.layers + 1
    for norm in norms:
        expected = x / (x.square().mean(dim=1, keepdim=True) + 0.5).sqrt() * norm.weight
        torch.testing.assert_close(norm(x), expected)


def test_adapters_reach_all_of_its_projections_and_merge() -> None:
    model = built(LLAMA)
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
    model = built(LLAMA)
    names = {parameter: name for name, parameter in model.named_parameters()}
    rows = {names[parameter]: rows for parameter, rows in layer_matrices(model).items()}
    assert rows["layers.0.self_attention.qkv.weight"] == (32, 16, 16)
    assert rows["layers.0.feedforward.inner.weight"] == (48, 48)
    assert len(rows) == 4 * LLAMA.layers


def test_quick_training_gives_its_gradients() -> None:
    gradients = []
    for quick in (False, True):
        model = built(LLAMA).train()
        if quick:
            speed_up_on_cpu(model)
        logits(model).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for mine, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = logits(model)
    assert (narrow - logits(model)).norm() < 0.1 * narrow.norm()
