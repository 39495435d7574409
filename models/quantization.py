"""Int8 linear layers for the CPU: weights scaled per output channel, activations per row.

A row's scale depends on that row alone, and sums of integers are exact: a sequence gets the same numbers in any batch.
(`torch.ao`'s dynamic quantization scales a whole batch by its largest value, so that neighbours change the result.)

Shapes: R rows, K inputs, N outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import DecoderLayer, EncoderLayer, TokenEmbedding

LARGEST = 127  # of a quantized value; symmetric, so that zero stays zero


class Int8Linear(nn.Module):
    """Replaces a linear layer; needs a CPU with VNNI, where 8-bit products are summed in 32 bits without saturation."""

    packed: Tensor
    scales_N: Tensor
    zeros_N: Tensor
    bias_N: Tensor

    def __init__(self, weight_NK: Tensor, bias_N: Tensor | None) -> None:
        super().__init__()
        weight_NK = weight_NK.detach().float()
        # A channel of zeros has no largest value to divide by: any scale will do.
        scales_N = weight_NK.abs().amax(dim=1).clamp(min=1e-12) / LARGEST
        quantized_NK = (weight_NK / scales_N[:, None]).round().to(torch.int8)
        outputs = weight_NK.shape[0]
        self.register_buffer("packed", torch.ops.onednn.qlinear_prepack(quantized_NK, None), persistent=False)
        self.register_buffer("scales_N", scales_N, persistent=False)
        self.register_buffer("zeros_N", torch.zeros(outputs, dtype=torch.int64), persistent=False)
        bias = torch.zeros(outputs) if bias_N is None else bias_N.detach().float().clone()
        self.register_buffer("bias_N", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., N] float32 from [..., K] float32."""
        rows_RK = x.flatten(0, -2)
        # abs().amax(): torch's infinity norm along rows is not vectorized and takes ten times as long.
        largest_R1 = rows_RK.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12)
        quantized_RK = (rows_RK * (LARGEST / largest_R1)).round_().to(torch.int8)
        # The kernel wants unsigned inputs with zero at 128: flipping the sign bit adds just that.
        unsigned_RK = quantized_RK.view(torch.uint8).bitwise_xor_(128)
        sums_RN = torch.ops.onednn.qlinear_pointwise(
            unsigned_RK, 1.0, 128, self.packed, self.scales_N, self.zeros_N, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return torch.addcmul(self.bias_N, sums_RN, largest_R1 / LARGEST).unflatten(0, x.shape[:-1])


def int8_supported(device: torch.device) -> bool:
    return device.type == "cpu" and torch.cpu._is_vnni_supported()


def quantize(model: nn.Module) -> nn.Module:
    """Replace the linear layers of all encoder and decoder layers, and the projection onto a vocabulary. In place.

    Embeddings, norms, attention and small heads stay float32: they cost little and lose much.
    """
    for module in list(model.modules()):
        if isinstance(module, EncoderLayer | DecoderLayer):
            _replace_linears(module)
    embedding = getattr(model, "embedding", None)
    if isinstance(embedding, TokenEmbedding) and hasattr(model, "logits"):  # a classifier projects onto its labels
        own = embedding.output
        embedding.output = Int8Linear(own.weight if isinstance(own, nn.Linear) else embedding.token.weight, None)
    return model


def _replace_linears(layer: nn.Module) -> None:
    for parent in list(layer.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, Int8Linear(child.weight, child.bias))
