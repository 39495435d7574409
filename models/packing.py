"""Prompts one behind another, without what they were padded with: what kernels read that see where each ends.

Shapes: B prompts, S tokens with padding, T tokens without, C width, G heads, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.native.attention import Columns

FIELDS = 7  # of a token


@dataclass(frozen=True)
class Packed:
    """The tokens of some prompts, and all that a pass over them asks about each."""

    fields_FT: Tensor  # int64
    bounds_2B: Tensor  # int64: where each prompt's first token is, and its last

    @classmethod
    def of(
        cls,
        tokens_BS: Tensor,
        lengths_B: Tensor,
        *,
        slots_B: Tensor | None = None,
        memories_B: Tensor | None = None,
        starts_B: Tensor | None = None,
        segments_BS: Tensor | None = None,
    ) -> Self:
        """Prompts that are padded on the right, from their `starts_B`, or 0, on."""
        lengths = lengths_B.numpy()
        ends = lengths.cumsum()
        rows = np.repeat(np.arange(len(lengths)), lengths)
        offsets = np.arange(ends[-1]) - (ends - lengths)[rows]
        fields = np.zeros((FIELDS, len(rows)), dtype=np.int64)
        fields[0] = tokens_BS.numpy()[rows, offsets]
        fields[1] = offsets if starts_B is None else offsets + starts_B.numpy()[rows]
        for index, of_prompts in ((2, slots_B), (3, memories_B)):
            if of_prompts is not None:
                fields[index] = of_prompts.numpy()[rows]
        fields[4], fields[5] = (ends - lengths)[rows], lengths[rows]
        if segments_BS is not None:
            fields[6] = segments_BS.numpy()[rows, offsets]
        return cls(torch.from_numpy(fields), torch.from_numpy(np.stack([ends - lengths, ends - 1])))

    @classmethod
    def room(cls, tokens: int, prompts: int) -> Self:
        return cls(torch.zeros(FIELDS, tokens, dtype=torch.int64), torch.zeros(2, prompts, dtype=torch.int64))

    def first(self, tokens: int, prompts: int) -> Packed:
        """A view of so many."""
        return Packed(self.fields_FT[:, :tokens], self.bounds_2B[:, :prompts])

    def fill(self, other: Packed) -> None:
        self.fields_FT[:, : other.tokens] = other.fields_FT
        self.bounds_2B[:, : other.prompts] = other.bounds_2B

    @property
    def tokens(self) -> int:
        return self.fields_FT.shape[1]

    @property
    def prompts(self) -> int:
        return self.bounds_2B.shape[1]

    @property
    def starts_B(self) -> Tensor:
        return self.bounds_2B[0]

    @property
    def ends_B(self) -> Tensor:
        return self.bounds_2B[1]

    @property
    def tokens_T(self) -> Tensor:
        return self.fields_FT[0]

    @property
    def positions_T(self) -> Tensor:
        return self.fields_FT[1]

    @property
    def slots_T(self) -> Tensor:
        return self.fields_FT[2]

    @property
    def memories_T(self) -> Tensor:
        return self.fields_FT[3]

    @property
    def begins_T(self) -> Tensor:
        """Where a token's prompt begins."""
        return self.fields_FT[4]

    @property
    def lengths_T(self) -> Tensor:
        """Of a token's prompt."""
        return self.fields_FT[5]

    @property
    def segments_T(self) -> Tensor:
        return self.fields_FT[6]

    @property
    def neighbours(self) -> Columns:
        """A token attends to all tokens of its own prompt."""
        return Columns(self.lengths_T, positions=False, places_T=self.begins_T)

    def padded(self, x_TC: Tensor, tokens: int) -> Tensor:
        """[B, S, C] with zeros for padding."""
        x_BSC = x_TC.new_zeros(self.prompts, tokens, x_TC.shape[1])
        rows_T = torch.repeat_interleave(self.lengths_T[self.ends_B])
        x_BSC[rows_T, torch.arange(self.tokens) - self.begins_T] = x_TC
        return x_BSC


@dataclass(frozen=True)
class Reading:
    """What a pass over prompts reads: a source, and tokens that go on with what slots hold; one of them or both."""

    source: Packed | None = None
    target: Packed | None = None


def as_rows(x_TGD: Tensor) -> Tensor:
    """[T, G, C, D], a view: from each token on, those behind it are the columns of a row."""
    return x_TGD.as_strided((*x_TGD.shape[:2], 1, x_TGD.shape[2]), (*x_TGD.stride()[:2], x_TGD.stride(0), 1))
