from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.interface import StateSize
from models.native.library import instruction_set
from models.native.linear import NativeLinear
from models.packed import PackedLinear
from models.precision import Precision, convert, resolve_device, resolve_precision
from models.quantization import int8_supported
from models.registry import Registry
from service.config import SHIPPED_REGISTRY
from tests.models.tiny import CONFIGS, ENCODERS, built, prompts_of, teacher_forced

CPU = torch.device("cpu")
GPU = torch.device("cuda")


@pytest.mark.parametrize(
    ("features", "kernels", "precision", "reason"),
    [
        ({"avx512_vnni", "avx512_bf16"}, "AVX512-VNNI", "int8", "VNNI"),
        ({"avx512_vnni"}, None, "int8", "VNNI"),
        ({"avx2"}, "AVX2", "int8", "kernels for AVX2"),
        ({"neon", "bf16"}, "NEON", "int8", "kernels for NEON"),
        ({"avx2", "amx_bf16"}, None, "bfloat16", "AMX-BF16"),
        ({"avx2", "avx512_bf16"}, None, "bfloat16", "AVX512-BF16"),
        ({"neon", "bf16"}, None, "bfloat16", "ARM"),
        ({"avx2"}, None, "float32", "neither VNNI nor bfloat16"),
        ({"neon"}, None, "float32", "neither VNNI nor bfloat16"),
    ],
)
def test_auto_is_the_fastest_format_the_cpu_computes_natively(
    monkeypatch: pytest.MonkeyPatch, features: set[str], kernels: str | None, precision: str, reason: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(features, True))
    for module in ("quantization", "precision"):
        monkeypatch.setattr(f"models.{module}.instruction_set", lambda: kernels)
    chosen, why = resolve_precision("auto", CPU)
    assert chosen == precision
    assert reason in why


@pytest.mark.parametrize(
    ("capability", "precision", "reason"),
    [((9, 0), "bfloat16", "9.0"), ((8, 0), "bfloat16", "8.0"), ((7, 5), "float32", "7.5, bfloat16 needs 8.0")],
)
def test_auto_is_half_as_wide_on_a_gpu_that_can(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str, reason: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    chosen, why = resolve_precision("auto", GPU)
    assert chosen == precision
    assert reason in why


def test_what_is_asked_for_is_taken() -> None:
    assert resolve_precision("float32", CPU) == ("float32", "as set")
    assert resolve_precision("bfloat16", GPU) == ("bfloat16", "as set")


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == CPU
    with pytest.raises(ValueError, match="device is 'cuda', but torch sees no CUDA device"):
        resolve_device("cuda")


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("cuda") == GPU
    assert resolve_device("cpu") == CPU


def test_int8_is_refused_where_the_hardware_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"VNNI.*cuda"):
        resolve_precision("int8", GPU)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    monkeypatch.setattr("models.quantization.instruction_set", lambda: None)
    with pytest.raises(ValueError, match=r"VNNI.*cpu"):
        resolve_precision("int8", CPU)


@pytest.mark.parametrize("name", [*CONFIGS, *ENCODERS])
@torch.inference_mode()
def test_a_model_answers_much_as_before_in_what_auto_chooses_on_this_machine(name: str) -> None:
    model, prompts, slots = built((CONFIGS | ENCODERS)[name]), prompts_of(5, 7), torch.tensor([0, 1])
    size = StateSize(slots=2, length=24, source_length=24)
    exact = model.prefill(prompts, slots, model.new_state(size))
    precision, _ = resolve_precision("auto", CPU)
    model, dtype = convert(model, precision, CPU)
    got = model.prefill(prompts, slots, model.new_state(replace(size, dtype=dtype)))
    assert (got - exact).norm() < 0.1 * exact.norm()


def test_without_kernels_bfloat16_halves_the_weights_and_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.precision.packing_supported", lambda device, dtype: False)  # packed ones are not listed
    monkeypatch.setattr("models.precision.instruction_set", lambda: None)
    model, size = built(CONFIGS["gpt-pre"]), StateSize(slots=2, length=24)
    weights, cache = sum(p.nbytes for p in model.parameters()), model.new_state(size).nbytes
    model, dtype = convert(model, "bfloat16", CPU)
    assert 2 * sum(p.nbytes for p in model.parameters()) == weights
    assert 2 * model.new_state(replace(size, dtype=dtype)).nbytes == cache


@pytest.mark.skipif(instruction_set() is None, reason="there are no kernels for this CPU, or none were built")
@pytest.mark.parametrize(
    ("features", "precision", "layer", "dtype"),
    [
        ({}, "float32", NativeLinear, torch.float32),
        ({}, "bfloat16", NativeLinear, torch.float32),
        ({"amx_bf16"}, "float32", NativeLinear, torch.float32),
        ({"amx_bf16"}, "bfloat16", PackedLinear, torch.bfloat16),
    ],
)
def test_linear_layers_are_kernels_but_where_pytorch_has_tiles_of_bfloat16(
    monkeypatch: pytest.MonkeyPatch, features: set[str], precision: Precision, layer: type, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(features, True))
    monkeypatch.setattr("models.precision.packing_supported", lambda device, dtype: True)
    other = PackedLinear if layer is NativeLinear else NativeLinear
    model, between = convert(built(CONFIGS["gpt-pre"]), precision, CPU)
    assert between is dtype
    assert any(isinstance(module, layer) for module in model.modules())
    assert not any(isinstance(module, other) for module in model.modules())


@torch.inference_mode()
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", ["llama", "seq2seq-pre-sinusoidal-tied", "gpt-pre"])
def test_weights_give_the_same_from_whatever_format_they_come(name: str, precision: Precision) -> None:
    if precision == "int8" and not int8_supported(CPU):
        pytest.skip("int8 needs a CPU with VNNI, or kernels for it")
    stored, widened = built(CONFIGS[name]).bfloat16(), built(CONFIGS[name]).bfloat16().float()
    models = [convert(model, precision, CPU)[0] for model in (stored, widened)]
    prompt = prompts_of(5)
    assert torch.equal(teacher_forced(models[0], prompt, [7, 8]), teacher_forced(models[1], prompt, [7, 8]))


@pytest.mark.parametrize("name", ["generator", "translator", "classifier"])
def test_a_checkpoint_is_loaded_as_its_file_has_it_where_that_is_asked(name: str) -> None:
    stored, widened = (Registry(SHIPPED_REGISTRY).load(name, stored=each).model for each in (True, False))
    assert {parameter.dtype for parameter in stored.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in widened.parameters()} == {torch.float32}
    for (one, parameter), (other, wide) in zip(stored.named_parameters(), widened.named_parameters(), strict=True):
        assert one == other
        assert torch.equal(parameter.float(), wide)
    assert [each.dtype for each in stored.buffers()] == [each.dtype for each in widened.buffers()]
