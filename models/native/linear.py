"""Linear layers by kernels: rows in float32, weights in int8, bfloat16 or float32.

`NativeInt8Linear` is the twin of `models.quantization.Int8Linear`: the same integers, the same sums, the same numbers
to the bit. `NativeLinear` takes its sums in float32 from the first input to the last, whatever the number of rows, so
that a sequence gets the same numbers in any batch.

Shapes: R rows, K inputs, N outputs.
"""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.native import instructions as kernels
from models.native.memory import settled
from models.native.programs import perform

BLOCK = 16  # outputs that lie side by side in the packed weights
FOUR = 4  # inputs that one product of bytes takes at once


class NativeInt8Linear(nn.Module):
    def __init__(self, quantized_NK: Tensor, scales_N: Tensor, bias_N: Tensor) -> None:
        """Weights int8; `scales_N` are those of sums of products with inputs of 127 at most."""
        super().__init__()
        self._outputs = quantized_NK.shape[0]
        self.biased = bool(bias_N.any())
        columns = -self._outputs % BLOCK
        padded_NK = F.pad(quantized_NK, (0, -quantized_NK.shape[1] % FOUR, 0, columns))
        self._inputs = padded_NK.shape[1]
        # Plain attributes: as buffers, each would be looked up in Python at every call, and none is ever moved.
        self._weights = settled(padded_NK.unflatten(0, (-1, BLOCK)).unflatten(2, (-1, FOUR)).transpose(1, 2))
        # Inputs are offset by 128, as the processor multiplies unsigned bytes by signed ones: this takes it back.
        self._offsets_N = padded_NK.sum(dim=1, dtype=torch.int32).mul_(-128)
        self._scales_N, self._bias_N = F.pad(scales_N, (0, columns)), F.pad(bias_N, (0, columns))

    @cached_property
    def plain_NK(self) -> Tensor:
        """The weights with each output's in a row, for those who want few outputs. It is made when it is first asked
        for, which cannot be recorded."""
        return self._weights.transpose(1, 2).reshape(-1, self._inputs)

    def some(self, rows_RK: Tensor, own_R: Tensor, lists_LN: Tensor) -> Tensor:
        """[R, N] like `forward`, of a layer without a bias: of row r the outputs that list `own_R[r]` has, and minus
        infinity elsewhere. A list [N + 1] int32 is how many outputs it has, and these; with none it has all."""
        assert not self.biased, "a vocabulary's projection has no bias"
        integers_RK = torch.empty(rows_RK.shape[0], self._inputs, dtype=torch.uint8)
        largest_R = torch.empty(rows_RK.shape[0])
        out_RN = torch.empty(rows_RK.shape[0], self._outputs)
        perform(
            kernels.quantize(rows_RK, integers_RK, largest_R),
            kernels.shortlist(
                integers_RK, largest_R, self.plain_NK, self._scales_N, self._offsets_N, own_R, lists_LN, out_RN
            ),
        )
        return out_RN

    def forward(self, x: Tensor) -> Tensor:
        """[..., N] float32 from [..., K] float32."""
        rows_RK = _rows(x)
        rows = rows_RK.shape[0]
        integers_RK = torch.empty(rows, self._inputs, dtype=torch.uint8)
        largest_R = torch.empty(rows)
        out_RN = torch.empty(rows, self._outputs)
        perform(
            kernels.quantize(rows_RK, integers_RK, largest_R),
            kernels.linear_int8(
                integers_RK, largest_R, self._weights, self._scales_N, self._offsets_N, self._bias_N, out_RN
            ),
        )
        return out_RN if x.dim() == 2 else out_RN.view(*x.shape[:-1], self._outputs)


class NativeLinear(nn.Module):
    def __init__(self, weight_NK: Tensor, bias_N: Tensor | None) -> None:
        """Weights float32, or bfloat16: then rows are rounded to it, too."""
        super().__init__()
        self._outputs = weight_NK.shape[0]
        self._halves = weight_NK.dtype is torch.bfloat16
        columns, side_by_side = -self._outputs % BLOCK, 2 if self._halves else 1
        padded_NK = F.pad(weight_NK.detach(), (0, -weight_NK.shape[1] % side_by_side, 0, columns))
        self._inputs = padded_NK.shape[1]
        self._weights = settled(padded_NK.unflatten(0, (-1, BLOCK)).unflatten(2, (-1, side_by_side)).transpose(1, 2))
        bias_N = torch.zeros(self._outputs) if bias_N is None else bias_N.detach().float()
        self._bias_N = F.pad(bias_N, (0, columns))

    def forward(self, x: Tensor) -> Tensor:
        """[..., N] float32 from [..., K] float32."""
        rows_RK = _rows(x)
        rows = rows_RK.shape[0]
        out_RN = torch.empty(rows, self._outputs)
        if self._halves:
            halves_RK = torch.empty(rows, self._inputs, dtype=torch.bfloat16)
            perform(
                kernels.rounded(rows_RK, halves_RK),
                kernels.linear_packed(halves_RK, self._weights, self._bias_N, out_RN),
            )
        else:
            perform(kernels.linear_packed(rows_RK, self._weights, self._bias_N, out_RN))
        return out_RN if x.dim() == 2 else out_RN.view(*x.shape[:-1], self._outputs)


def _rows(x: Tensor) -> Tensor:
    return x if x.dim() == 2 and x.stride(1) == 1 else x.reshape(-1, x.shape[-1])
