"""What a model is trained to do: from examples to a batch, from a batch to a loss.

Every objective projects only the positions that are scored: with padding left out, the output projection, which is
most of a small model's work, shrinks by the share of padding. Shapes: B rows, T tokens, N scored positions, V outputs.
Knows nothing of optimizers or schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from models.interface import CausalBatch, Prompts, Seq2SeqBatch
from models.training.data import Example, padded


@dataclass(frozen=True)
class Batch:
    inputs: Any  # what the model's forward takes
    scored: Tensor  # [B, T] bool: the positions whose output counts; empty for one output a row
    targets_N: Tensor  # int64

    def to(self, device: torch.device) -> Batch:
        moved = {
            name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in vars(self.inputs).items()
        }
        return Batch(type(self.inputs)(**moved), self.scored.to(device), self.targets_N.to(device))


class Objective(Protocol):
    def sizes(self, examples: Sequence[Example]) -> np.ndarray:
        """[N] float: an example's padded width (rounded down), and a fraction that refines the order."""
        ...

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch: ...

    def logits(self, model: Any, batch: Batch) -> Tensor:
        """[N, V]"""
        ...


class Translation:
    """Teacher forcing: from the source and the target so far, each next target token."""

    def __init__(self, pad_id: int, start_id: int) -> None:
        self._pad, self._start = pad_id, start_id

    def sizes(self, examples: Sequence[Example]) -> np.ndarray:
        lengths = np.array([(len(e.source), len(e.target)) for e in examples], float)
        return lengths.max(axis=1) + lengths.sum(axis=1) / 10_000

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch:
        source = padded([e.source for e in examples], self._pad)
        target = padded([e.target for e in examples], self._pad)
        lengths = np.array([len(e.target) for e in examples])
        scored = np.arange(target.shape[1]) < lengths[:, None]
        inputs = np.concatenate([np.full((len(examples), 1), self._start), target[:, :-1]], axis=1)
        return Batch(
            Seq2SeqBatch(
                source_BS=torch.from_numpy(source),
                source_lengths_B=torch.tensor([len(e.source) for e in examples]),
                target_BT=torch.from_numpy(inputs),
            ),
            torch.from_numpy(scored),
            torch.from_numpy(target[scored]),
        )

    def logits(self, model: Any, batch: Batch) -> Tensor:
        return model.logits(model.hidden(batch.inputs)[batch.scored])


class CausalLanguageModel:
    """Each next token of the text. What comes before the text (start token, control token) is read, not scored."""

    def __init__(self, pad_id: int, drop_control: float = 0.0) -> None:
        self._pad, self._drop = pad_id, drop_control

    def sizes(self, examples: Sequence[Example]) -> np.ndarray:
        return np.array([len(e.source) + len(e.target) - 1 for e in examples], float)

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch:
        dropped = random.random(len(examples)) < self._drop
        sources = [e.source[:1] if drop else e.source for e, drop in zip(examples, dropped, strict=True)]
        rows = [np.concatenate([source, e.target]) for source, e in zip(sources, examples, strict=True)]
        tokens = padded(rows, self._pad)
        first = np.array([len(source) for source in sources])[:, None]
        last = np.array([len(row) for row in rows])[:, None]
        positions = np.arange(1, tokens.shape[1])  # a position predicts the token after it
        scored = (positions >= first) & (positions < last)
        return Batch(
            CausalBatch(tokens_BT=torch.from_numpy(tokens[:, :-1].copy())),
            torch.from_numpy(scored),
            torch.from_numpy(tokens[:, 1:][scored]),
        )

    def logits(self, model: Any, batch: Batch) -> Tensor:
        return model.logits(model.hidden(batch.inputs)[batch.scored])


def prompts(examples: Sequence[Example], pad_id: int, separator_id: int) -> Prompts:
    """Texts or pairs of a classifier. The second segment is what follows the first separator."""
    tokens = padded([e.source for e in examples], pad_id)
    lengths = np.array([len(e.source) for e in examples])
    is_separator = tokens == separator_id
    segments = ((np.cumsum(is_separator, axis=1) - is_separator) > 0) & (np.arange(tokens.shape[1]) < lengths[:, None])
    return Prompts(
        tokens_BS=torch.from_numpy(tokens),
        lengths_B=torch.from_numpy(lengths),
        segments_BS=torch.from_numpy(segments.astype(np.int64)),
    )


class Classification:
    """One label a row."""

    def __init__(self, pad_id: int, separator_id: int) -> None:
        self._pad, self._separator = pad_id, separator_id

    def sizes(self, examples: Sequence[Example]) -> np.ndarray:
        return np.array([len(e.source) for e in examples], float)

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch:
        labels = torch.tensor([int(e.target[0]) for e in examples])
        return Batch(prompts(examples, self._pad, self._separator), torch.empty(0, dtype=torch.bool), labels)

    def logits(self, model: Any, batch: Batch) -> Tensor:
        return model(batch.inputs)


class MaskedWords:
    """Guess 15 % of the tokens: of these 80 % are masked, 10 % replaced at random, 10 % left (Devlin et al. 2019)."""

    def __init__(self, pad_id: int, separator_id: int, mask_id: int, vocab_size: int, specials: int) -> None:
        self._pad, self._separator, self._mask = pad_id, separator_id, mask_id
        self._vocab_size, self._specials = vocab_size, specials  # ids below `specials` are never masked

    def sizes(self, examples: Sequence[Example]) -> np.ndarray:
        return np.array([len(e.source) for e in examples], float)

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch:
        inputs = prompts(examples, self._pad, self._separator)
        tokens = inputs.tokens_BS.numpy()
        scored = (random.random(tokens.shape) < 0.15) & (tokens >= self._specials)
        targets = tokens[scored]
        choice = random.random(len(targets))
        replaced = np.where(choice < 0.8, self._mask, targets)
        words = random.integers(self._specials, self._vocab_size, len(targets))
        tokens[scored] = np.where(choice >= 0.9, words, replaced)
        return Batch(inputs, torch.from_numpy(scored), torch.from_numpy(targets))

    def logits(self, model: Any, batch: Batch) -> Tensor:
        return model.masked_words(model.hidden(batch.inputs)[batch.scored])
