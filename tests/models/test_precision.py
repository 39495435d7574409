from __future__ import annotations

import pytest
import torch

from models.precision import convert, resolve_device, resolve_precision
from tests.models.tiny import CONFIGS, built

CPU = torch.device("cpu")


def test_auto_is_exact_on_cpu_and_half_as_wide_on_a_gpu() -> None:
    assert resolve_precision("auto", CPU) == "float32"
    assert resolve_precision("auto", torch.device("cuda")) == "bfloat16"


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert resolve_device("auto") == CPU
    with pytest.raises(ValueError, match="no CUDA device"):
        resolve_device("cuda")


def test_int8_is_refused_where_the_hardware_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"VNNI.*cuda"):
        resolve_precision("int8", torch.device("cuda"))
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    with pytest.raises(ValueError, match=r"VNNI.*cpu"):
        resolve_precision("int8", CPU)


def test_bfloat16_halves_the_weights_and_the_cache() -> None:
    model, dtype = convert(built(CONFIGS["gpt-pre"]), "bfloat16", CPU)
    assert dtype == torch.bfloat16
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
