"""Two operations that take a third of a small model's training time on CPU, done faster there.

Same mathematics as torch's own, up to rounding; measured on two cores, width 256, 8,000 outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ROWS = 256  # of logits at a time: 256 x 8,000 float32 stay in the cache


class ByteDropout(nn.Dropout):
    """Dropout from one random byte an element: torch's Bernoulli sampler on CPU is serial and draws a float for each.

    The probability is rounded to a multiple of 1/256 and the scale follows the rounded value, so the mean is exact.
    """

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.p * 256)
        if not self.training or dropped == 0:
            return x
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * (kept.to(x.dtype) * (256 / (256 - dropped)))


def use_byte_dropout(model: nn.Module) -> None:
    """Replace the model's dropout modules. They have no weights: nothing else changes."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, ByteDropout(child.p))


class _SmoothedCrossEntropy(torch.autograd.Function):
    """The gradient is computed along with the loss, a few rows at a time, so that [N, V] is read and written once."""

    @staticmethod
    def forward(context, logits_NV: Tensor, targets_N: Tensor, smoothing: float) -> Tensor:  # type: ignore[no-untyped-def]
        rows, outputs = logits_NV.shape
        gradient_NV = torch.empty_like(logits_NV)
        loss = logits_NV.new_zeros((), dtype=torch.float32)
        for start in range(0, rows, _ROWS):
            some = slice(start, start + _ROWS)
            logits, targets = logits_NV[some].float(), targets_N[some, None]
            normalizer = logits.logsumexp(dim=1, keepdim=True)
            loss += normalizer.sum() - (1 - smoothing) * logits.gather(1, targets).sum()
            if smoothing:
                loss -= smoothing / outputs * logits.sum()
            logits.sub_(normalizer).exp_()
            if smoothing:
                logits.sub_(smoothing / outputs)
            logits.scatter_add_(1, targets, torch.full_like(normalizer, smoothing - 1))
            gradient_NV[some] = logits.div_(rows)
        context.save_for_backward(gradient_NV)
        return loss / rows

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (gradient_NV,) = context.saved_tensors
        return gradient_NV * gradient, None, None


def smoothed_cross_entropy(logits_NV: Tensor, targets_N: Tensor, smoothing: float) -> Tensor:
    """Mean over N, float32. Label smoothing spreads `smoothing` over all V outputs (Szegedy et al. 2016)."""
    return _SmoothedCrossEntropy.apply(logits_NV, targets_N, smoothing)
