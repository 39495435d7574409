"""Rotary position embeddings (Su et al. 2021, "RoFormer"): queries and keys are turned by angles that grow with their
positions, so that their products depend on the distance alone.

Pairs are the elements i and i + D / 2 of a head's vector, as in GPT-NeoX and Llama on Hugging Face. Three ways to read
texts longer than those of the training, after `transformers.modeling_rope_utils`: linear (Chen et al. 2023), dynamic
("NTK-aware", its base growing with the length) and Llama 3's, which slows down only what turns slowly.

Shapes: P positions, N heads (queries' and keys'), D head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from models.config import ConfigError

Scaling = Literal["none", "linear", "dynamic", "llama3"]


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """How fast the pairs turn."""

    theta: float = 10_000.0  # the slowest pair turns about so many times slower than the quickest
    scaling: Scaling = "none"
    factor: float = 1.0  # by which texts may be longer than those of the training
    trained_context: int = 2048  # tokens of these; dynamic and llama3
    low_frequency_factor: float = 1.0  # llama3: what turns less often than this within them is slowed down wholly
    high_frequency_factor: float = 4.0  # llama3: what turns more often than this, not at all

    def __post_init__(self) -> None:
        if self.scaling not in get_args(Scaling):
            raise ConfigError(f"rotary scaling is {self.scaling!r}, expected one of {', '.join(get_args(Scaling))}")
        if not self.theta > 1:
            raise ConfigError(f"rotary theta is {self.theta}, expected more than 1")
        if not self.factor >= 1:
            raise ConfigError(f"rotary factor is {self.factor}, expected at least 1")
        if self.trained_context < 1:
            raise ConfigError(f"rotary trained_context is {self.trained_context}, expected at least 1")
        if not 0 < self.low_frequency_factor < self.high_frequency_factor:
            raise ConfigError(
                f"rotary low_frequency_factor is {self.low_frequency_factor}, expected more than 0 and less than "
                f"high_frequency_factor {self.high_frequency_factor}"
            )


def angles(rotation: Rotation, positions: int, width: int) -> Tensor:
    """[P, D / 2] float32: by which each pair is turned at each position. Raises ConfigError for an odd width."""
    if width % 2 or (rotation.scaling == "dynamic" and width < 4):
        raise ConfigError(f"the head width is {width}, rotary positions turn pairs (two of them at least, if dynamic)")
    positions_P1 = torch.arange(positions, dtype=torch.float32)[:, None]
    if rotation.scaling == "dynamic":
        return positions_P1 * _frequencies(_dynamic_theta(rotation, positions_P1 + 1, width), width)
    frequencies_D = _frequencies(torch.tensor(rotation.theta), width)
    if rotation.scaling == "linear":
        frequencies_D = frequencies_D / rotation.factor
    elif rotation.scaling == "llama3":
        frequencies_D = _slowed(rotation, frequencies_D)
    return positions_P1 * frequencies_D


def _frequencies(theta: Tensor, width: int) -> Tensor:
    """Radians a position, of each pair."""
    return 1 / theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)


def _dynamic_theta(rotation: Rotation, lengths_P1: Tensor, width: int) -> Tensor:
    """The base for a text of the length that it has with its newest token.

    A token keeps the angle with which it was read, as in a cache: then nothing depends on what comes after it.
    """
    lengths_P1 = lengths_P1.clamp(min=rotation.trained_context)
    stretched = rotation.factor * lengths_P1 / rotation.trained_context - (rotation.factor - 1)
    return rotation.theta * stretched ** (width / (width - 2))


def _slowed(rotation: Rotation, frequencies_D: Tensor) -> Tensor:
    """Between the two factors, by turns within the training's context, a linear passage from one to the other."""
    turns_D = rotation.trained_context * frequencies_D / (2 * math.pi)
    low, high = rotation.low_frequency_factor, rotation.high_frequency_factor
    kept_D = ((turns_D - low) / (high - low)).clamp(0, 1)
    return frequencies_D * (kept_D + (1 - kept_D) / rotation.factor)


class Rotary(nn.Module):
    """The sines and cosines for a number of positions; all layers of a model share one."""

    def __init__(self, rotation: Rotation, *, positions: int, width: int) -> None:
        super().__init__()
        angles_PD = angles(rotation, positions, width).repeat(1, 2)
        sines_PD = angles_PD.sin()
        sines_PD[:, : width // 2].neg_()  # the first of a pair loses what the second gains
        self.table: Tensor
        table_P21D = torch.stack([angles_PD.cos(), sines_PD], dim=1)[:, :, None]
        self.register_buffer("table", table_P21D, persistent=False)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """[..., N, D], turned by the positions [...] of their tokens; without these, [B, T, N, D] from position 0 on.

        The position -1 of a padding row is as good as any.
        """
        table = self.table[: x.shape[-3]] if positions is None else self.table[positions]
        cosines, sines = table.unbind(-3)
        half = x.shape[-1] // 2
        return torch.addcmul(x * cosines, x.roll(half, -1), sines).to(x.dtype)
