"""Rotary position embeddings (Su et al. 2021, "RoFormer"): queries and keys are turned by angles that grow with their
positions, so that their products depend on the distance alone.

Pairs are the elements i and i + D / 2 of a head's vector, as in GPT-NeoX and Llama on Hugging Face; where only a share
of a vector turns, it is the first elements. Five ways to read texts longer than those of the training, after
`transformers.modeling_rope_utils`: linear (Chen et al. 2023), dynamic ("NTK-aware", its base growing with the length),
Llama 3's and YaRN (Peng et al. 2023), which slow down only what turns slowly, and divisors, one for each pair, as
LongRoPE (Ding et al. 2024) finds them.

Shapes: P positions, N heads (queries' and keys'), D elements of a head's vector that turn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from models.config import ConfigError
from models.native.attention import computes
from models.native.elementwise import rotated

Scaling = Literal["none", "linear", "dynamic", "llama3", "yarn", "divisors"]


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """How fast the pairs turn."""

    theta: float = 10_000.0  # the slowest pair turns about so many times slower than the quickest
    scaling: Scaling = "none"
    factor: float = 1.0  # by which texts may be longer than those of the training
    trained_context: int = 2048  # tokens of these; dynamic, llama3 and yarn
    low_frequency_factor: float = 1.0  # llama3, yarn: what turns less often than this within them is slowed down wholly
    high_frequency_factor: float = 4.0  # llama3, yarn: what turns more often than this, not at all
    whole_pairs: bool = True  # yarn: these two places are rounded to pairs
    divisors: tuple[float, ...] = ()  # divisors: of each pair's frequency
    amplitude: float = 1.0  # what is turned gets so many times longer; the training with YaRN or LongRoPE has fixed it
    share: float = 1.0  # of a head's vector that turns

    def __post_init__(self) -> None:
        if self.scaling not in get_args(Scaling):
            raise ConfigError(f"rotary scaling is {self.scaling!r}, expected one of {', '.join(get_args(Scaling))}")
        if not self.theta > 1:
            raise ConfigError(f"rotary theta is {self.theta}, expected more than 1")
        if not self.factor >= 1:
            raise ConfigError(f"rotary factor is {self.factor}, expected at least 1")
        if self.trained_context < 1:
            raise ConfigError(f"rotary trained_context is {self.trained_context}, expected at least 1")
        if not 0 < self.share <= 1:
            raise ConfigError(f"rotary share is {self.share}, expected more than 0 and at most 1")
        if not self.amplitude > 0:
            raise ConfigError(f"rotary amplitude is {self.amplitude}, expected more than 0")
        if (self.scaling == "divisors") != bool(self.divisors) or not all(each > 0 for each in self.divisors):
            raise ConfigError(
                f"rotary divisors is {self.divisors}, expected numbers above 0, of scaling divisors alone"
            )
        if not 0 < self.low_frequency_factor < self.high_frequency_factor:
            raise ConfigError(
                f"rotary low_frequency_factor is {self.low_frequency_factor}, expected more than 0 and less than "
                f"high_frequency_factor {self.high_frequency_factor}"
            )


def with_rotation(values: dict[str, Any], name: str = "rotation") -> dict[str, Any]:
    """The fields of a config as JSON has them, with the rotation of that name read. Raises ConfigError."""
    given = values.get(name)
    if not isinstance(given, Mapping):
        return values
    try:
        return {**values, name: Rotation(**{**given, "divisors": tuple(given.get("divisors", ()))})}
    except TypeError as error:
        raise ConfigError(f"{name}: {error}") from error


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
        frequencies_D = _slowed(frequencies_D, rotation.factor, _kept_by_turns(rotation, frequencies_D))
    elif rotation.scaling == "yarn":
        frequencies_D = _slowed(frequencies_D, rotation.factor, _kept_by_place(rotation, width))
    elif rotation.scaling == "divisors":
        if len(rotation.divisors) != width // 2:
            raise ConfigError(
                f"rotary divisors has {len(rotation.divisors)} numbers, the {width // 2} pairs need as many"
            )
        frequencies_D = frequencies_D / torch.tensor(rotation.divisors)
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


def _slowed(frequencies_D: Tensor, factor: float, kept_D: Tensor) -> Tensor:
    """A share of each frequency is kept, the rest is divided by the factor."""
    return frequencies_D * (kept_D + (1 - kept_D) / factor)


def _kept_by_turns(rotation: Rotation, frequencies_D: Tensor) -> Tensor:
    """Linear between the two factors, by turns within the training's context."""
    turns_D = rotation.trained_context * frequencies_D / (2 * math.pi)
    low, high = rotation.low_frequency_factor, rotation.high_frequency_factor
    return ((turns_D - low) / (high - low)).clamp(0, 1)


def _kept_by_place(rotation: Rotation, width: int) -> Tensor:
    """Linear, by place, between the pairs that turn so often as the two factors say."""

    def place(turns: float) -> float:
        longest = rotation.trained_context / (turns * 2 * math.pi)
        return width * math.log(longest) / (2 * math.log(rotation.theta))

    first, last = place(rotation.high_frequency_factor), place(rotation.low_frequency_factor)
    if rotation.whole_pairs:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    if first == last:
        last += 0.001
    return 1 - ((torch.arange(width // 2, dtype=torch.float32) - first) / (last - first)).clamp(0, 1)


class Rotary(nn.Module):
    """The sines and cosines for a number of positions; all layers of a model share one."""

    def __init__(self, rotation: Rotation, *, positions: int, width: int) -> None:
        """`width` is that of a head."""
        super().__init__()
        self.turned = int(width * rotation.share)  # elements of a head's vector
        angles_PD = angles(rotation, positions, self.turned).repeat(1, 2)
        sines_PD = angles_PD.sin()
        sines_PD[:, : self.turned // 2].neg_()  # the first of a pair loses what the second gains
        self.table: Tensor
        table_P21D = torch.stack([angles_PD.cos(), sines_PD], dim=1)[:, :, None] * rotation.amplitude
        self.register_buffer("table", table_P21D, persistent=False)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """[..., N, D], turned by the positions [...] of their tokens; without these, [B, T, N, D] from position 0 on.

        The position -1 of a padding row is as good as any.
        """
        if positions is not None and x.dim() == 3 and computes(x):
            return rotated(x, positions, self.table)
        table = self.table[: x.shape[-3]] if positions is None else self.table[positions]
        cosines, sines = table.unbind(-3)
        if self.turned == x.shape[-1]:
            return torch.addcmul(x * cosines, x.roll(self.turned // 2, -1), sines).to(x.dtype)
        first = x[..., : self.turned]
        turned = torch.addcmul(first * cosines, first.roll(self.turned // 2, -1), sines).to(x.dtype)
        return torch.cat([turned, x[..., self.turned :]], dim=-1)
