"""Temperature scaling (Guo et al. 2017): how sure a classifier sounds is fitted to how often it is right.

One number divides all logits, the one with which held-out labels are likeliest; it goes into the weights of the label
projection, so that serving knows nothing of it. No answer changes, only its probability. Shapes: N texts, L labels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.training.data.batches import plan_batches
from models.training.data.examples import Examples
from models.training.objectives import Objective

_WIDEST = 20.0  # temperatures are looked for from 1/20 to 20


def calibrate(
    model: Any, objective: Objective, examples: Examples, batch_tokens: int, device: torch.device
) -> tuple[float, float]:
    """Changes the label projection of `model`; the temperature, and the loss of `examples` with it in nats.

    Computed in float32, as scores are that are published.
    """
    logits, targets = [], []
    with torch.inference_mode():
        for number, rows in enumerate(plan_batches(objective.sizes(examples), batch_tokens, 0, 0)):
            batch = objective.batch([examples[row] for row in rows], np.random.default_rng(number)).to(device)
            logits.append(objective.logits(model, batch)[0].float().cpu())
            targets.append(batch.targets[0].cpu())
    logits_NL, targets_N = torch.cat(logits), torch.cat(targets)
    temperature = best_temperature(logits_NL, targets_N)
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.div_(temperature)
    return temperature, float(F.cross_entropy(logits_NL / temperature, targets_N))


def best_temperature(logits_NL: Tensor, targets_N: Tensor) -> float:
    """The T with which the cross-entropy of `logits_NL` / T is least.

    It is convex in 1/T, with the derivative E[z of the answer drawn] - z of the target, whose sign is halved down to.
    """
    z_NL = logits_NL.double()
    target_N = z_NL.gather(1, targets_N[:, None])[:, 0]
    low, high = -math.log(_WIDEST), math.log(_WIDEST)  # of ln(1/T)
    for _ in range(50):
        middle = (low + high) / 2
        expected_N = ((z_NL * math.exp(middle)).softmax(dim=1) * z_NL).sum(dim=1)
        if float((expected_N - target_N).mean()) > 0:
            high = middle
        else:
            low = middle
    return math.exp(-(low + high) / 2)
