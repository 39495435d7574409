"""Which device and number format a model computes in, and the conversion to them."""

from __future__ import annotations

from typing import Any, Literal

import torch

from models.native.library import instruction_set
from models.native.linear import NativeLinear
from models.packed import PackedLinear, packing_supported
from models.parts import parts_of, replace_linears
from models.quantization import int8_linear, int8_supported, vnni_supported

Precision = Literal["auto", "float32", "bfloat16", "int8"]

# CPU features with which matrix products take bfloat16 as it is. Without one it is unpacked first, and slower.
BFLOAT16_FEATURES = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "bf16": "ARM's BF16"}
BFLOAT16_CAPABILITY = (8, 0)  # of a CUDA device: Ampere


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ValueError when CUDA is asked for and absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but torch sees no CUDA device; use 'auto' or 'cpu'")
    return torch.device(name)


def resolve_precision(precision: Precision, device: torch.device) -> tuple[Precision, str]:
    """The format to compute in, and why. Raises ValueError for int8 where the hardware lacks it.

    `auto` is the fastest that the hardware computes natively; docs/benchmarks.md has the figures it follows.
    """
    if precision == "auto":
        return _best_on_gpu(device) if device.type == "cuda" else _best_on_cpu(device)
    if precision == "int8" and not int8_supported(device):
        raise ValueError(
            f"precision is 'int8', which needs a CPU with VNNI instructions or kernels for it; the device is {device}"
        )
    return precision, "as set"


def _best_on_gpu(device: torch.device) -> tuple[Precision, str]:
    capability = torch.cuda.get_device_capability(device)
    found = f"compute capability {capability[0]}.{capability[1]}"
    if capability >= BFLOAT16_CAPABILITY:
        return "bfloat16", found
    # Not float16: models trained in wider ranges may overflow in it.
    return "float32", f"{found}, bfloat16 needs {BFLOAT16_CAPABILITY[0]}.{BFLOAT16_CAPABILITY[1]}"


def _best_on_cpu(device: torch.device) -> tuple[Precision, str]:
    if int8_supported(device):
        return "int8", "the CPU has VNNI" if vnni_supported() else f"there are kernels for {instruction_set()}"
    there = torch.cpu.get_capabilities()
    for feature, name in BFLOAT16_FEATURES.items():
        if there.get(feature):
            return "bfloat16", f"the CPU has {name}, but no VNNI, and there are no kernels for it"
    return "float32", "the CPU has neither VNNI nor bfloat16 products, and there are no kernels for it"


def convert(model: Any, precision: Precision, device: torch.device) -> tuple[Any, torch.dtype]:
    """The model on `device` in a resolved precision, in place, and the type its keys and values have.

    Layer by layer, from whatever format its weights have: there is never a second copy of all of them.
    """
    weights = torch.bfloat16 if precision == "bfloat16" else torch.float32
    # By kernels all that lies between linear layers is float32, whatever format their weights have.
    native = precision == "int8" or _kernels_lead(device, weights)
    dtype = torch.float32 if native else weights
    model.eval()
    for part in parts_of(model):
        part.settle()
    if precision == "int8":
        replace_linears(model, int8_linear)
    elif native:
        replace_linears(model, lambda weight, bias: NativeLinear(weight.to(weights), bias))
    elif packing_supported(device, dtype):
        replace_linears(
            model, lambda weight, bias: PackedLinear(weight.to(dtype), None if bias is None else bias.to(dtype))
        )
    return model.to(device=device, dtype=dtype).eval(), dtype


def _kernels_lead(device: torch.device, weights: torch.dtype) -> bool:
    """Whether linear layers are ours: PyTorch's know the tiles of AMX, which ours do not."""
    if device.type != "cpu" or instruction_set() is None:
        return False
    return weights is torch.float32 or not torch.cpu.get_capabilities().get("amx_bf16")
