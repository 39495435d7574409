"""Which optimizer moves which weights, how far, and by what schedule.

AdamW: Loshchilov and Hutter 2019. Muon, where a recipe asks for it, moves the matrices of the layers; embeddings,
output heads, norms and biases stay with AdamW, as its authors advise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from models.layers import Stack
from models.parts import Part
from models.training.fast import number_format
from models.training.muon import Muon
from models.training.sections import Training


class Optimizers:
    """One or two that step together. Their learning rates are those where the schedule is 1, the `peak` of a group."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self._parts = tuple(parts)
        for group in self.groups:
            group["peak"] = group["lr"]
        self._part_of = {p: part for part in self._parts for group in part.param_groups for p in group["params"]}

    @property
    def groups(self) -> Iterator[dict]:
        return (group for part in self._parts for group in part.param_groups)

    def step(self, share: float) -> None:
        """Move the weights at this share of the peak learning rates, and forget the gradients."""
        for group in self.groups:
            group["lr"] = group["peak"] * share
        for part in self._parts:
            part.step()
            part.zero_grad(set_to_none=True)

    def state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        """The tensors kept for a parameter: read them, or fill them in to go on from a saved state."""
        return self._part_of[parameter].state[parameter]


def build_optimizers(model: nn.Module, recipe: Training) -> Optimizers:
    """Of all weights that require a gradient. Matrices decay; norms and biases, which have one dimension, do not."""
    learned = [p for p in model.parameters() if p.requires_grad]
    blocks = layer_matrices(model) if recipe.optimizer == "muon" else {}
    rest = [p for p in learned if p not in blocks]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    parts: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2), eps=1e-8, fused=True)
    ]
    if blocks:
        dtype = number_format(recipe.precision, learned[0].device)
        parts.append(Muon(blocks, recipe.matrix_learning_rate, recipe.weight_decay, dtype))
    return Optimizers(parts)


def layer_matrices(model: nn.Module) -> dict[Tensor, tuple[int, ...]]:
    """The weights [R, C] of the layers that are learned -> the rows of each projection that lies in them."""
    found: dict[Tensor, tuple[int, ...]] = {}
    for stack in (module for module in model.modules() if isinstance(module, Stack)):
        for module in stack.modules():
            if isinstance(module, Part):
                for name, blocks in module.projections().items():
                    found[getattr(module, name).weight] = tuple(rows for _, rows in blocks)
            for parameter in module.parameters(recurse=False):
                if parameter.dim() == 2:
                    found.setdefault(parameter, (parameter.shape[0],))
    return {parameter: rows for parameter, rows in found.items() if parameter.requires_grad}


def clip_gradients(parameters: Iterable[Tensor], largest: float) -> None:
    """Scale all gradients down so that their common norm is at most `largest`."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    if norm.device.type == "cpu" and norm <= largest:  # read there at no cost; on a GPU it would have to be waited for
        return
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))


def schedule(recipe: Training, step: int, minutes: float) -> float:
    """Share of the peak learning rate of step 0, 1, ...: a linear warm-up, then the half cosine down to zero, or the
    inverse square root.

    The cosine follows the budget that is further spent: steps, or minutes where they are limited.
    """
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    if recipe.schedule == "inverse_sqrt":
        return math.sqrt(max(recipe.warmup_steps, 1) / (step + 1))
    spent = (step - recipe.warmup_steps) / max(recipe.steps - recipe.warmup_steps, 1)
    if recipe.max_minutes is not None:
        spent = max(spent, minutes / recipe.max_minutes)
    return 0.5 * (1 + math.cos(math.pi * min(spent, 1.0)))
