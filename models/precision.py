"""Which device and number format a model computes in, and the conversion to them."""

from __future__ import annotations

from typing import Any, Literal

import torch

from models.quantization import int8_supported, quantize

Precision = Literal["auto", "float32", "bfloat16", "int8"]


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ValueError when CUDA is asked for and absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but torch sees no CUDA device; use 'auto' or 'cpu'")
    return torch.device(name)


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """`auto` is bfloat16 on a GPU and float32 on CPU. Raises ValueError for int8 where the hardware lacks it."""
    if precision == "auto":
        return "bfloat16" if device.type == "cuda" else "float32"
    if precision == "int8" and not int8_supported(device):
        raise ValueError(f"precision is 'int8', which needs a CPU with VNNI instructions; the device is {device}")
    return precision


def convert(model: Any, precision: Precision, device: torch.device) -> tuple[Any, torch.dtype]:
    """The model on `device` in a resolved precision, in place, and the type its keys and values have."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    model = model.to(device=device, dtype=dtype).eval()
    return (quantize(model) if precision == "int8" else model), dtype
