"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): momentum, made orthogonal, moves a matrix.

A gradient of a few large directions becomes one in which all directions count alike. torch.optim.Muon does the same for
one matrix at a time; here projections that lie fused in one weight are told apart, as the method wants it, and matrices
of one shape are made orthogonal together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_MOMENTUM = 0.95  # and Nesterov's look ahead
_ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # the quintic polynomial's: steepest at 0, where small directions are


def orthogonal(matrices_NRC: Tensor) -> Tensor:
    """[N, R, C], R <= C: each matrix with its singular values brought near 1 (to 0.7 to 1.2), by Newton-Schulz."""
    a, b, c = _COEFFICIENTS
    x = matrices_NRC / (torch.linalg.matrix_norm(matrices_NRC, keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon(torch.optim.Optimizer):
    """`blocks` says of each parameter [R, C] how many rows each of the matrices has that lie in it one below another.

    A matrix's step has the spectral norm `lr` x sqrt(max(1, rows / columns)). Weight decay is decoupled, as in AdamW.
    """

    def __init__(self, blocks: Mapping[Tensor, Sequence[int]], lr: float, weight_decay: float, dtype: torch.dtype):
        super().__init__(list(blocks), {"lr": lr, "weight_decay": weight_decay})
        self._dtype = dtype  # of Newton-Schulz: bfloat16 is exact enough, and quick where the hardware computes in it
        self._blocks = {parameter: tuple(rows) for parameter, rows in blocks.items()}
        self.state.update({parameter: {"momentum": torch.zeros_like(parameter)} for parameter in blocks})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            gradients = [p.grad for p in parameters]
            momenta = [self.state[p]["momentum"] for p in parameters]
            torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
            updates = torch._foreach_lerp(gradients, momenta, _MOMENTUM)
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            self._move(parameters, updates, group["lr"])

    def _move(self, parameters: list[Tensor], updates: Sequence[Tensor], rate: float) -> None:
        alike: dict[torch.Size, list[tuple[Tensor, Tensor, float]]] = {}  # weight, update and scale, by shape
        for parameter, update in zip(parameters, updates, strict=True):
            rows = self._blocks[parameter]
            for weight, block in zip(parameter.split(rows), update.split(rows), strict=True):
                scale = math.sqrt(max(1.0, block.shape[0] / block.shape[1]))
                if block.shape[0] > block.shape[1]:  # the iteration's products are the smaller the fewer rows
                    weight, block = weight.mT, block.mT
                alike.setdefault(block.shape, []).append((weight, block, scale))
        for moved in alike.values():
            moves = orthogonal(torch.stack([block.to(self._dtype) for _, block, _ in moved]))
            for (weight, _, scale), move in zip(moved, moves, strict=True):
                weight.add_(move, alpha=-rate * scale)
