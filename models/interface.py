"""The three verbs every servable model speaks, the batch types they take, and the state that they keep between calls.

Shape suffixes: B rows, S prompt (source) positions, T target positions, V outputs (vocabulary or labels), M memory
rows, K rows that share a memory row, C width. Knows nothing of the engine: who is in a batch, and why, is decided
elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from models.config import Config


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """What a model reads before its first output. Rows are padded on the right."""

    tokens_BS: Tensor  # int64
    lengths_B: Tensor  # int64, >= 1
    segments_BS: Tensor | None = None  # int64; token types, for models that have them
    starts_B: Tensor | None = None  # int64: the tokens go on at these positions of their slots; None: at the first
    prefix_BT: Tensor | None = None  # int64: the first target tokens, given, after the start token; padded on the right
    prefix_lengths_B: Tensor | None = None  # int64, >= 0


@dataclass(frozen=True, kw_only=True)
class Seq2SeqBatch:
    """Teacher forcing: the target is given, each position predicts the next."""

    source_BS: Tensor  # int64, padded on the right
    source_lengths_B: Tensor
    target_BT: Tensor  # int64 decoder inputs: start token first, padded on the right


@dataclass(frozen=True, kw_only=True)
class CausalBatch:
    tokens_BT: Tensor  # int64 inputs, padded on the right; each position predicts the next


@dataclass(frozen=True)
class Sharing:
    """Which rows read which memory row, K at most; without it row b reads memory row b."""

    rows_MK: Tensor  # int64: the rows that read a memory row; what is left over names any row
    places_B: Tensor  # int64: where a row stands in the flattened `rows_MK`

    def gather(self, x_BC: Tensor) -> Tensor:
        """[M, K, C]: the rows of each memory row."""
        return x_BC.index_select(0, self.rows_MK.flatten()).unflatten(0, self.rows_MK.shape)

    def scatter(self, x_MKC: Tensor) -> Tensor:
        """[B, C]: what each row finds at its place."""
        return x_MKC.flatten(0, 1).index_select(0, self.places_B)


@dataclass(frozen=True, kw_only=True)
class StateSize:
    """Room for `slots` sequences of `length` positions, each with a memory for a source of `source_length` tokens."""

    slots: int
    length: int
    source_length: int = 0  # not used by a model without a memory
    dtype: torch.dtype = torch.float32  # that the model computes in
    device: torch.device | str = "cpu"


class State(Protocol):
    """What a model keeps of the sequences that run, allocated once, at addresses that never change.

    It is the model's own: `Servable.new_state` makes it, `prefill` and `decode` read and write it, and nobody else
    looks inside. A *slot* is a row of it, where one sequence, or one beam of a beam search, lives while it runs.
    Whoever runs the model decides which, moves sequences from slot to slot with `copy`, and leaves rubbish in slots
    that are free: `prefill` begins a slot anew, but for a piece of a prompt that does not start at position 0.

    What a slot holds is valid up to a *position*: the keys and values of the tokens before it, or the hidden state
    after them. `Capabilities.prefilled` says how many positions `prefill` leaves in a slot; each `decode` adds the one
    that it is given. The newest token is fed by the next step, so that n outputs have added n - 1 positions.

    A model that reads a source (`Capabilities.memory`) keeps what decoding needs of it in a *memory row*, one a
    sequence, numbered apart from the slots: the beams of a sequence read the same one (`Sharing`). It may well be
    nothing, where all that counts is in the slots.

    `decode` gets a `window`, the first so many rows, running sequences and others mixed. A row at position -1 is none
    of its business: a free slot, or one whose prompt is still being read. What it computes for such a row must be
    finite, and what that slot holds must be the same afterwards: a cache lets the row write to a column that nobody
    reads, a recurrent model takes the new hidden state over only where the position is not negative. Where steps are
    recorded as CUDA graphs, nothing in `decode` may depend on a tensor's values.
    """

    @property
    def slots(self) -> int:
        """Rows, and as many memory rows."""

    @property
    def length(self) -> int:
        """Positions a slot has room for."""

    @property
    def source_length(self) -> int:
        """Tokens of a source a memory row has room for; 0 without a memory."""

    @property
    def nbytes(self) -> int:
        """Of all buffers that grow with the slots; the same on the device `meta`, where nothing is allocated."""

    def window(self, rows: int, length: int, source_length: int = 0, *, sharing: Sharing | None = None) -> Self:
        """A view of the first `rows` slots up to position `length`, and of as many memory rows, or those of `sharing`,
        up to token `source_length`; no row of it holds more after the step. No data is copied: what is written to the
        window is in the state."""

    def copy(self, source: int, target: int, start: int, stop: int) -> None:
        """Slot `target`, which agrees with slot `source` up to position `start`, does so up to `stop`.

        `stop` is what the source holds or, with `Capabilities.prefix_reuse`, less. A state that cannot be cut at a
        position copies all that the slot holds.
        """

    def move_memory(self, source: int, target: int) -> None:
        """Copy a memory row over another; asked only of a model with `Capabilities.memory`."""


class Servable(Protocol):
    """`prefill` then `decode` repeated gives the outputs of `forward`, batched or alone, in any slot.

    A state is always one that the model's own `new_state` made, or a window of it.
    """

    @property
    def config(self) -> Config: ...

    def new_state(self, size: StateSize) -> Any:
        """A `State` of zeros."""

    def forward(self, batch: Any) -> Tensor:
        """Training, teacher-forced: logits [B, T, V]; [B, V] for a classifier, whose batch is `Prompts`."""

    def prefill(self, prompts: Prompts, slots_B: Tensor, state: Any, memories_B: Tensor | None = None, /) -> Tensor:
        """Read each prompt into its slot, and a source into its memory row (the slot's, unless given); logits [B, V] of
        its first output. A prompt may come in pieces: only the last one's logits mean something."""

    def decode(self, tokens_B: Tensor, positions_B: Tensor, state: Any, /) -> Tensor:
        """One step for the rows of `state` (a window of its first B slots); logits [B, V] of the next output.

        `positions_B` counts a row's tokens so far; -1 marks a padding row, whose output means nothing.
        """


class Aligning(Protocol):
    """What a model whose config has `alignment_layers` can do besides."""

    def alignment(self, batch: Seq2SeqBatch, layer: int) -> Tensor:
        """[B, T, S]: the attention that predicts each target position's next token pays to the source."""
