"""Which number format a model computes in, and the conversion to it."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ValueError when CUDA is asked for and absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but torch sees no CUDA device; use 'auto' or 'cpu'")
    return torch.device(name)


def resolve_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU and float32 on CPU."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
