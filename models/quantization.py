"""Int8 linear layers for the CPU: weights scaled per output channel, activations per row.

A row's scale depends on that row alone, and sums of integers are exact: a sequence gets the same numbers in any batch.
(`torch.ao`'s dynamic quantization scales a whole batch by its largest value, so that neighbours change the result.)

Shapes: R rows, K inputs, N outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import ROWS_AT_A_TIME
from models.native.library import instruction_set
from models.native.linear import NativeInt8Linear

LARGEST = 127  # of a quantized value; symmetric, so that zero stays zero
SMALLEST = 1e-12  # what stands in for the largest value of a channel of zeros: any scale will do

# Where `_int_mm` is quicker than the packed kernel, whose calls cost 15 microseconds more: a single row always, so many
# rows of a layer no larger than this, and never a projection onto a vocabulary.
FEW_ROWS = 32
SMALL_LAYER = 1536
LARGE_LAYER = 8192


class Int8Linear(nn.Module):
    """Replaces a linear layer; needs a CPU with VNNI, where 8-bit products are summed in 32 bits without saturation.

    Two kernels share the work by shape. Their sums are exact integers, and what follows is the same operations in the
    same order, so that which one ran cannot be told from the result.
    """

    def __init__(self, weight_NK: Tensor, bias_N: Tensor | None) -> None:
        super().__init__()
        outputs, inputs = weight_NK.shape
        quantized_NK, scales_N, self._bias_N = quantized(weight_NK, bias_N)
        # Plain attributes: as buffers, each would be looked up in Python four times a call, and none is ever moved.
        self._packed = torch.ops.onednn.qlinear_prepack(quantized_NK, None)
        self._plain_KN = quantized_NK.t() if max(inputs, outputs) <= LARGE_LAYER else None
        self._few_rows = FEW_ROWS if max(inputs, outputs) <= SMALL_LAYER else 1
        self._scales_N = scales_N
        self._largest = torch.tensor(float(LARGEST))  # a number divided by a tensor would be two operations
        self._zeros_N = torch.zeros(outputs, dtype=torch.int64)

    def forward(self, x: Tensor) -> Tensor:
        """[..., N] float32 from [..., K] float32."""
        if x.dim() == 2 and x.shape[0] <= ROWS_AT_A_TIME:  # a decode step: every view costs a microsecond
            return self._project(x)
        rows_RK = x.flatten(0, -2)
        if rows_RK.shape[0] <= ROWS_AT_A_TIME:
            out_RN = self._project(rows_RK)
        else:
            out_RN = rows_RK.new_empty(rows_RK.shape[0], self._bias_N.shape[0])
            for some, out in zip(rows_RK.split(ROWS_AT_A_TIME), out_RN.split(ROWS_AT_A_TIME), strict=True):
                self._project(some, out)
        return out_RN.unflatten(0, x.shape[:-1])

    def _project(self, rows_RK: Tensor, out_RN: Tensor | None = None) -> Tensor:
        # abs().amax(): torch's infinity norm along rows is not vectorized and takes ten times as long.
        values_RK = rows_RK.abs()
        # In a row of zeros the quotients are not numbers, and the integers anything; times zero they are nothing.
        largest_R1 = values_RK.amax(1, True)
        torch.mul(rows_RK, self._largest / largest_R1, out=values_RK).round_()
        sums_RN = self._multiply(values_RK)
        return torch.addcmul(self._bias_N, sums_RN, largest_R1, out=sums_RN if out_RN is None else out_RN)

    def _multiply(self, values_RK: Tensor) -> Tensor:
        """Sums of integers times the channels' scales."""
        integers_RK = values_RK.char()
        if self._plain_KN is not None and values_RK.shape[0] <= self._few_rows:
            return torch._int_mm(integers_RK, self._plain_KN).float().mul_(self._scales_N)
        # This kernel wants unsigned inputs with zero at 128: signed ones fall back to a reference implementation. The
        # sign bit flipped is that, and quicker than adding before the conversion.
        return torch.ops.onednn.qlinear_pointwise.default(
            integers_RK.view(torch.uint8).bitwise_xor_(128),
            1.0,
            128,
            self._packed,
            self._scales_N,
            self._zeros_N,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )


def quantized(weight_NK: Tensor, bias_N: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Weights in int8, the scales [N] of their products with rows of 127 at most, and the bias, zeros without one."""
    weight_NK = weight_NK.detach().float()
    scales_N = weight_NK.abs().amax(dim=1).clamp(min=SMALLEST) / LARGEST
    quantized_NK = (weight_NK / scales_N[:, None]).round().to(torch.int8)
    bias_N = weight_NK.new_zeros(weight_NK.shape[0]) if bias_N is None else bias_N.detach().float().clone()
    return quantized_NK, scales_N / LARGEST, bias_N


def int8_linear(weight_NK: Tensor, bias_N: Tensor | None) -> nn.Module:
    """By our own kernels, where there are some for this CPU."""
    if instruction_set() is None:
        return Int8Linear(weight_NK, bias_N)
    return NativeInt8Linear(*quantized(weight_NK, bias_N))


def vnni_supported() -> bool:
    """Whether PyTorch's kernels give the sums that they should: without VNNI they saturate."""
    return torch.cpu._is_vnni_supported()


def int8_supported(device: torch.device) -> bool:
    return device.type == "cpu" and (instruction_set() is not None or vnni_supported())
