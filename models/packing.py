"""Prompts one behind another, without what they were padded with: what kernels read that see where each ends.

Shapes: B prompts, S tokens with padding, T tokens without, C width, G heads, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.native.attention import Columns


@dataclass(frozen=True)
class Packed:
    tokens_T: Tensor
    rows_T: Tensor  # which prompt a token is of
    offsets_T: Tensor  # where it stands in what is given of that
    lengths_B: Tensor

    @classmethod
    def of(cls, tokens_BS: Tensor, lengths_B: Tensor) -> Packed:
        if len(lengths_B) == 1:
            tokens_T = tokens_BS[0, : int(lengths_B)]
            return cls(tokens_T, torch.zeros_like(tokens_T), torch.arange(len(tokens_T)), lengths_B)
        rows_T, offsets_T = (torch.arange(tokens_BS.shape[1]) < lengths_B[:, None]).nonzero().unbind(dim=1)
        return cls(tokens_BS[rows_T, offsets_T], rows_T.contiguous(), offsets_T.contiguous(), lengths_B)

    @cached_property
    def last_B(self) -> Tensor:
        """Where each prompt's last token is."""
        return self.lengths_B.cumsum(0) - 1

    @cached_property
    def neighbours(self) -> Columns:
        """A token attends to all tokens of its own prompt."""
        starts_B = self.last_B + 1 - self.lengths_B
        return Columns(self.lengths_B[self.rows_T], positions=False, places_T=starts_B[self.rows_T])

    def padded(self, x_TC: Tensor, tokens: int) -> Tensor:
        """[B, S, C] with zeros for padding."""
        x_BSC = x_TC.new_zeros(len(self.lengths_B), tokens, x_TC.shape[1])
        x_BSC[self.rows_T, self.offsets_T] = x_TC
        return x_BSC


def as_rows(x_TGD: Tensor) -> Tensor:
    """[T, G, C, D], a view: from each token on, those behind it are the columns of a row."""
    return x_TGD.as_strided((*x_TGD.shape[:2], 1, x_TGD.shape[2]), (*x_TGD.stride()[:2], x_TGD.stride(0), 1))
