"""Linear layers for the CPU in float32 and bfloat16, with weights in the order in which oneDNN's kernels read them.

Packing costs once, at loading, what `torch.nn.functional.linear` pays at every call: in bfloat16 it reorders weights,
in float32 it leaves the product to MKL, which on an AMD processor took twice as long. And sums are taken in the same
order whatever the number of rows, so that in float32 a sequence gets the same numbers in any batch.

Shapes: R rows, K inputs, N outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ONE_BLOCK = 1024  # inputs that a kernel for a single row adds up as the kernels for several rows do


class PackedLinear(nn.Module):
    """Replaces a linear layer that is not trained any more."""

    def __init__(self, weight_NK: Tensor, bias_N: Tensor | None) -> None:
        super().__init__()
        # Plain attributes: a packed tensor can neither be moved nor saved.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight_NK.detach().contiguous(), None)
        self._bias_N = None if bias_N is None else bias_N.detach().clone()
        self._inputs = weight_NK.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """[..., N] from [..., K], in the weights' format."""
        if self._inputs > ONE_BLOCK and x.numel() == self._inputs:
            pair_2K = x.reshape(1, -1).expand(2, -1)
            return self._multiply(pair_2K)[0].view(*x.shape[:-1], -1)
        return self._multiply(x)

    def _multiply(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.default(x, self._packed, self._bias_N, "none", [], "")


def packing_supported(device: torch.device, dtype: torch.dtype) -> bool:
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return dtype is torch.float32 or (dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
