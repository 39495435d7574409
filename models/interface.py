"""The three verbs every servable model speaks, and the batch types they take.

Shape suffixes: B rows, S prompt (source) positions, T target positions, V outputs (vocabulary or labels).
Knows nothing of the engine: who is in a batch, and why, is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from models.cache import KeyValueCache


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


class Servable(Protocol):
    """`prefill` then `decode` repeated gives the outputs of `forward`, batched or alone, in any slot."""

    def forward(self, batch: Any) -> Tensor:
        """Training, teacher-forced: logits [B, T, V]; [B, V] for a classifier, whose batch is `Prompts`."""
        ...

    def prefill(
        self, prompts: Prompts, slots_B: Tensor, cache: KeyValueCache, memories_B: Tensor | None = None
    ) -> Tensor:
        """Read each prompt into its cache slot, and a source into its memory row (the slot's, unless given); logits
        [B, V] of its first output. A prompt may come in chunks: only the last one's logits mean something."""
        ...

    def decode(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        """One step for the rows of `cache` (a window of its first B slots); logits [B, V] of the next output.

        `positions_B` counts a row's tokens so far; -1 marks a padding row, whose output means nothing.
        """
        ...


class Aligning(Protocol):
    """What a model with cross-attention can do besides."""

    def alignment(self, batch: Seq2SeqBatch, layer: int) -> Tensor:
        """[B, T, S]: the attention that predicts each target position's next token pays to the source."""
        ...
