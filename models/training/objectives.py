"""What a model is trained to do: from examples to a batch, from a batch to the logits that are compared with targets.

Every objective projects only the positions that are scored: with padding left out, the output projection, which is
most of a small model's work, shrinks by the share of padding. Shapes: B rows, T tokens, N scored positions, V outputs.
Knows nothing of losses, optimizers or schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from models.interface import CausalBatch, Prompts, Seq2SeqBatch
from models.training.data.batches import padded
from models.training.data.examples import EpochExamples, Example


@dataclass(frozen=True)
class Batch:
    """What a model reads, and for each term of the loss what it should say where."""

    inputs: Any  # what the model's forward takes
    scored: tuple[Tensor, ...]  # bool, [B, T] or [B]: where a term's outputs count
    targets: tuple[Tensor, ...]  # for each term int64 [N], or float32 [N, V]: probabilities
    weights: tuple[float, ...] = ()  # of the terms; (): all count the same

    def to(self, device: torch.device) -> Batch:
        moved = {
            name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in vars(self.inputs).items()
        }
        return Batch(
            type(self.inputs)(**moved),
            tuple(each.to(device) for each in self.scored),
            tuple(each.to(device) for each in self.targets),
            self.weights,
        )


class Objective(Protocol):
    """The first term of the loss is the main one, whose loss and accuracy are reported."""

    def sizes(self, examples: EpochExamples) -> np.ndarray:
        """[N] float: an example's padded width (rounded down), and a fraction that refines the order."""
        ...

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch: ...

    def logits(self, model: Any, batch: Batch) -> tuple[Tensor, ...]:
        """[N, V] for each term."""
        ...


class Translation:
    """Teacher forcing: from the source and the target so far, each next target token."""

    def __init__(self, pad_id: int, start_id: int) -> None:
        self._pad, self._start = pad_id, start_id

    def sizes(self, examples: EpochExamples) -> np.ndarray:
        source, target = examples.source_lengths_N, examples.target_lengths_N
        return np.maximum(source, target) + (source + target) / 10_000

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
            (torch.from_numpy(scored),),
            (torch.from_numpy(target[scored]),),
        )

    def logits(self, model: Any, batch: Batch) -> tuple[Tensor, ...]:
        return (model.logits(model.hidden(batch.inputs)[batch.scored[0]]),)


class CausalLanguageModel:
    """Each next token of the text. What comes before the text (start token, control token) is read, not scored; nor is
    the start token of a further document in a block."""

    def __init__(self, pad_id: int, drop_control: float = 0.0, *, start_id: int = 1) -> None:
        self._pad, self._start, self._drop = pad_id, start_id, drop_control

    def sizes(self, examples: EpochExamples) -> np.ndarray:
        return (examples.source_lengths_N + examples.target_lengths_N - 1).astype(float)

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch:
        dropped = random.random(len(examples)) < self._drop
        sources = [e.source[:1] if drop else e.source for e, drop in zip(examples, dropped, strict=True)]
        rows = [np.concatenate([source, e.target]) for source, e in zip(sources, examples, strict=True)]
        tokens = padded(rows, self._pad)
        first = np.array([len(source) for source in sources])[:, None]
        last = np.array([len(row) for row in rows])[:, None]
        positions = np.arange(1, tokens.shape[1])  # a position predicts the token after it
        scored = (positions >= first) & (positions < last) & (tokens[:, 1:] != self._start)
        return Batch(
            CausalBatch(tokens_BT=torch.from_numpy(tokens[:, :-1].copy())),
            (torch.from_numpy(scored),),
            (torch.from_numpy(tokens[:, 1:][scored]),),
        )

    def logits(self, model: Any, batch: Batch) -> tuple[Tensor, ...]:
        return (model.logits(model.hidden(batch.inputs)[batch.scored[0]]),)


def prompts(rows: Sequence[np.ndarray], pad_id: int, separator_id: int) -> Prompts:
    """Texts or pairs of an encoder. The second segment is what follows the first separator."""
    tokens = padded(rows, pad_id)
    lengths = np.array([len(row) for row in rows])
    is_separator = tokens == separator_id
    segments = ((np.cumsum(is_separator, axis=1) - is_separator) > 0) & (np.arange(tokens.shape[1]) < lengths[:, None])
    return Prompts(
        tokens_BS=torch.from_numpy(tokens),
        lengths_B=torch.from_numpy(lengths),
        segments_BS=torch.from_numpy(segments.astype(np.int64)),
    )


class Classification:
    """One label a row, of a text or a pair.

    `word_dropout`: in training this share of the words is masked, anew whenever a text is read, so that no single one
    decides (Iyyer et al. 2015). A pre-trained encoder knows texts with such gaps.
    """

    def __init__(self, pad_id: int, separator_id: int, mask_id: int, *, word_dropout: float = 0.0) -> None:
        self._pad, self._separator, self._mask = pad_id, separator_id, mask_id
        self._word_dropout = word_dropout

    def sizes(self, examples: EpochExamples) -> np.ndarray:
        return examples.source_lengths_N.astype(float)

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch:
        labels = torch.tensor([int(e.target[0]) for e in examples])
        return Batch(prompts([e.source for e in examples], self._pad, self._separator), (), (labels,))

    def logits(self, model: Any, batch: Batch) -> tuple[Tensor, ...]:
        inputs = batch.inputs
        if model.training and self._word_dropout:
            dropped = torch.rand(inputs.tokens_BS.shape, device=inputs.tokens_BS.device) < self._word_dropout
            dropped &= inputs.tokens_BS >= _words_from(self._pad, self._separator, self._mask)
            inputs = replace(inputs, tokens_BS=inputs.tokens_BS.masked_fill(dropped, self._mask))
        return (model(inputs),)


def _words_from(*special_ids: int) -> int:
    """The first id of a word: a WordPiece vocabulary begins with its special tokens."""
    return 1 + max(special_ids)


@dataclass(frozen=True)
class Pretraining:
    """Masked words and next sentence (Devlin et al. 2019).

    Guess a share of the tokens, `mask_rate`: of these 80 % are masked, 10 % replaced at random, 10 % left. And tell
    whether a text's second part is its own (0) or, for every other row, one of the same batch (1).
    """

    pad_id: int
    separator_id: int
    mask_id: int
    vocab_size: int
    longest: int
    mask_rate: float
    next_sentence: bool

    def sizes(self, examples: EpochExamples) -> np.ndarray:
        return (examples.source_lengths_N + examples.target_lengths_N).astype(float)

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch:
        seconds = [e.target for e in examples]
        paired = np.array([len(second) > 0 for second in seconds])
        swapped = np.zeros(len(examples), dtype=np.int64)
        if self.next_sentence:
            chosen = np.flatnonzero(paired & (random.random(len(examples)) < 0.5))
            if len(chosen) > 1:  # each gets the part of the one before: none keeps its own
                swapped[chosen] = 1
                for row, other in zip(chosen.tolist(), np.roll(chosen, 1).tolist(), strict=True):
                    seconds[row] = examples[other].target
        rows = [self._joined(e.source, second) for e, second in zip(examples, seconds, strict=True)]
        inputs = prompts(rows, self.pad_id, self.separator_id)
        tokens = inputs.tokens_BS.numpy()
        words_from = _words_from(self.pad_id, self.separator_id, self.mask_id)
        scored = (random.random(tokens.shape) < self.mask_rate) & (tokens >= words_from)
        targets = tokens[scored]
        choice = random.random(len(targets))
        replaced = np.where(choice < 0.8, self.mask_id, targets)
        words = random.integers(words_from, self.vocab_size, len(targets))
        tokens[scored] = np.where(choice >= 0.9, words, replaced)
        masked = torch.from_numpy(scored), torch.from_numpy(targets)
        if not self.next_sentence:
            return Batch(inputs, masked[:1], masked[1:])
        return Batch(inputs, (masked[0], torch.from_numpy(paired)), (masked[1], torch.from_numpy(swapped[paired])))

    def logits(self, model: Any, batch: Batch) -> tuple[Tensor, ...]:
        hidden_BSC = model.hidden(batch.inputs)
        words = model.masked_words(hidden_BSC[batch.scored[0]])
        return (words, model.next_sentence(hidden_BSC[batch.scored[1]])) if self.next_sentence else (words,)

    def _joined(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """One row, cut to what the model takes; its last separator stays."""
        row = np.concatenate([first, second])
        return row if len(row) <= self.longest else np.append(row[: self.longest - 1], np.int32(self.separator_id))
