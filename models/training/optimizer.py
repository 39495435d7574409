"""AdamW (Loshchilov and Hutter 2019) and the learning rate's schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from models.training.recipe import Training


def build_optimizer(model: nn.Module, recipe: Training) -> torch.optim.AdamW:
    """Matrices decay; norms and biases, which have one dimension, do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2), eps=1e-8, fused=True)


def learning_rate(recipe: Training, step: int, minutes: float) -> float:
    """Of step 0, 1, ...: a linear warm-up, then the half cosine down to zero, or the inverse square root.

    The cosine follows the budget that is further spent: steps, or minutes where they are limited.
    """
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "inverse_sqrt":
        return recipe.learning_rate * math.sqrt(max(recipe.warmup_steps, 1) / (step + 1))
    spent = (step - recipe.warmup_steps) / max(recipe.steps - recipe.warmup_steps, 1)
    if recipe.max_minutes is not None:
        spent = max(spent, minutes / recipe.max_minutes)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(spent, 1.0)))
