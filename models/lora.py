"""Low-rank adaptation (Hu et al. 2021, "LoRA"): weights W stay as they are, and W + alpha / rank * U D is learned.

An adapted layer keeps the names of its weights; the factors lie beside them, `NAME.lora.TARGET.down` [rank, in] and
`.up` [rows, rank]. Where several projections are fused in one weight, each has factors of its own for its rows.

Knows nothing of recipes, files or training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import LORA_TARGETS, ConfigError, LoraConfig
from models.parts import Blocks, parts_of

Rows = Mapping[str, tuple[int, int]]  # target -> the rows of a weight that are its own: begin, end


class LowRank(nn.Module):
    """U D x. It begins as zero."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, inputs))
        self.up = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as a linear layer begins

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.down), self.up)


class LoraLinear(nn.Linear):
    """A linear layer with adapters for some of its rows. It takes the layer's own weights over."""

    def __init__(self, linear: nn.Linear, rows: Rows, config: LoraConfig) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.scale = config.alpha / config.rank
        self.dropout = nn.Dropout(config.dropout)
        self.rows = dict(rows)
        self.lora = nn.ModuleDict(
            {target: LowRank(linear.in_features, end - begin, config.rank) for target, (begin, end) in rows.items()}
        ).to(linear.weight.device, linear.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        out, read = F.linear(x, self.weight, self.bias), self.dropout(x)
        for target, (begin, end) in self.rows.items():
            out.narrow(-1, begin, end - begin).add_(self.lora[target](read), alpha=self.scale)
        return out

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain layer that computes the same, up to rounding; the weight is changed in place."""
        for target, (begin, end) in self.rows.items():
            adapter = self.lora[target]
            assert isinstance(adapter, LowRank), "what `lora` was made of"
            self.weight[begin:end] += self.scale * (adapter.up @ adapter.down)
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight, linear.bias = self.weight, self.bias
        return linear


def attach(model: nn.Module, config: LoraConfig) -> None:
    """Put adapters beside the layers that `config` names, in place; outputs stay what they were.

    Raises ConfigError where the model has none of these layers.
    """
    found: set[str] = set()
    for part in parts_of(model):
        for name, blocks in part.projections().items():
            rows = _rows(blocks)
            found |= rows.keys()
            chosen = {target: rows[target] for target in rows if target in config.adapted}
            if chosen:
                setattr(part, name, LoraLinear(getattr(part, name), chosen, config))
    if found.isdisjoint(config.adapted):
        there = ", ".join(target for target in LORA_TARGETS if target in found)
        raise ConfigError(f"targets is {list(config.targets)}, of which the model has none: it has {there}")


def freeze_all_but_adapters(model: nn.Module, head: tuple[str, ...] = ()) -> None:
    """From now on only adapters are trained, and weights whose names begin with one of `head`."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(head)
    for module in model.modules():
        if isinstance(module, LowRank):
            module.requires_grad_()


def merge(model: nn.Module) -> None:
    """Add what the adapters learned to the weights beside them, and leave the model without adapters, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLinear):
                setattr(parent, name, child.merged())


def _rows(blocks: Blocks) -> Rows:
    """Neighbouring blocks of one target are one."""
    rows: dict[str, tuple[int, int]] = {}
    end = 0
    for target, count in blocks:
        begin, end = end, end + count
        rows[target] = (rows.get(target, (begin, end))[0], end)
    return rows
