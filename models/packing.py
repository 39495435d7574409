"""Prompts one behind another, without what they were padded with: what kernels read that see where each ends.

Shapes: B prompts, S tokens with padding, T tokens without, C width, G heads, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.interface import Prompts
from models.native.attention import Columns

FIELDS = 7  # of a token


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """`Prompts` as they are before they are padded, and where the state keeps what is read of each."""

    tokens: list[list[int]]
    slots: list[int]
    memories: list[int]
    starts: list[int]  # of each, its first token's position
    segments: list[list[int]] | None = None
    prefixes: list[list[int]] | None = None
    lists: list[np.ndarray | None] | None = None  # of each that has not all: the tokens that may come, int32

    @classmethod
    def of(cls, prompts: Prompts, slots_B: Tensor, memories_B: Tensor) -> Self:
        lengths, prefixes = prompts.lengths_B.tolist(), None
        if prompts.prefix_BT is not None and prompts.prefix_lengths_B is not None:
            prefixes = _rows(prompts.prefix_BT, prompts.prefix_lengths_B.tolist())
        return cls(
            tokens=_rows(prompts.tokens_BS, lengths),
            slots=slots_B.tolist(),
            memories=memories_B.tolist(),
            starts=[0] * len(lengths) if prompts.starts_B is None else prompts.starts_B.tolist(),
            segments=None if prompts.segments_BS is None else _rows(prompts.segments_BS, lengths),
            prefixes=prefixes,
        )


def _rows(padded_BS: Tensor, lengths: list[int]) -> list[list[int]]:
    return [row[:length] for row, length in zip(padded_BS.tolist(), lengths, strict=True)]


@dataclass(frozen=True)
class Packed:
    """The tokens of some prompts, and all that a pass over them asks about each."""

    fields: np.ndarray  # int64 [FIELDS, T]
    bounds: np.ndarray  # int64 [2, B]: where each prompt's first token is, and its last

    @classmethod
    def of(
        cls,
        tokens: list[list[int]],
        *,
        slots: list[int] | None = None,
        memories: list[int] | None = None,
        starts: list[int] | None = None,
        segments: list[list[int]] | None = None,
    ) -> Self:
        """Prompts from their `starts`, or 0, on."""
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        ends = lengths.cumsum()
        begins = ends - lengths
        of_prompts = np.zeros((5, len(tokens)), dtype=np.int64)  # each field from the second to the sixth
        of_prompts[0] -= begins
        for index, values in enumerate((starts, slots, memories)):
            if values is not None:
                of_prompts[index] += values
        of_prompts[3], of_prompts[4] = begins, lengths
        fields = np.zeros((FIELDS, ends[-1]), dtype=np.int64)
        fields[1:6] = of_prompts.repeat(lengths, axis=1)
        fields[0] = np.fromiter(chain.from_iterable(tokens), np.int64, ends[-1])
        fields[1] += np.arange(ends[-1])
        if segments is not None:
            fields[6] = np.fromiter(chain.from_iterable(segments), np.int64, ends[-1])
        return cls(fields, np.stack([begins, ends - 1]))

    @classmethod
    def room(cls, tokens: int, prompts: int) -> Self:
        return cls(np.zeros((FIELDS, tokens), dtype=np.int64), np.zeros((2, prompts), dtype=np.int64))

    def first(self, tokens: int, prompts: int) -> Packed:
        """A view of so many."""
        return Packed(self.fields[:, :tokens], self.bounds[:, :prompts])

    def fill(self, other: Packed) -> None:
        self.fields[:, : other.tokens] = other.fields
        self.bounds[:, : other.prompts] = other.bounds

    @cached_property
    def fields_FT(self) -> Tensor:
        return torch.from_numpy(self.fields)

    @cached_property
    def bounds_2B(self) -> Tensor:
        return torch.from_numpy(self.bounds)

    @property
    def tokens(self) -> int:
        return self.fields.shape[1]

    @property
    def prompts(self) -> int:
        return self.bounds.shape[1]

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
