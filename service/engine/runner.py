"""Carries out a plan on the model: builds tensors, runs prefill and decode, chooses tokens. Never decides who runs.

Shapes: B rows, S prompt tokens, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor

from models.config import AutoregressiveConfig
from models.interface import Aligning, Prompts, Seq2SeqBatch, Servable, State
from models.packing import Pieces
from models.shortlist import restrict
from service.engine.beams import Branch
from service.engine.branching import branches
from service.engine.programs import Outcome, make_programs
from service.engine.sampler import best, best_tokens, choose, logprobs
from service.engine.scheduler import Chunk, Plan
from service.engine.sequence import Row, Sequence
from service.engine.slots import Copy
from service.engine.steps import StepInputs, StepShape, make_step


@dataclass(frozen=True, slots=True)
class Details:
    """What a sequence wants to know of a token of its own."""

    logprob: float | None = None
    best: list[tuple[int, float]] = field(default_factory=list)  # (token, log-probability), as many as it wants
    logits: list[float] | None = None


@dataclass(slots=True, kw_only=True)
class StepResult:
    rows: list[Row] = field(default_factory=list)  # that got a token
    tokens: list[int] = field(default_factory=list)
    details: dict[Row, Details] = field(default_factory=dict)  # of those that want some
    branches: dict[Sequence, list[Branch]] = field(default_factory=dict)  # that its beam search may choose from
    padded_tokens: int = 0
    prefill_s: float = 0.0
    decode_s: float = 0.0


class Runner:
    def __init__(self, model: Servable, state: State, *, device: torch.device, programs: bool = True) -> None:
        """`programs`: steps are recorded as such where the model allows for it."""
        self.model, self.state, self.device = model, state, device
        self.capabilities, self.pad_id = model.config.capabilities, model.config.pad_id
        self._programs = make_programs(model, state, device) if programs else None
        self._rows: list[Row] = []  # of the last step, if that was a program
        self._step = make_step(model, state, device)

    @property
    def packed(self) -> bool:
        """Whether a step takes its rows from anywhere in the cache, and prompts one behind another, without padding."""
        return self._programs is not None

    @torch.inference_mode()
    def run(self, plan: Plan) -> StepResult:
        if plan.copies:
            self._copy(plan.copies)
        if self.capabilities.memory:
            for move in plan.memory_moves:
                self.state.move_memory(move.source, move.target)
        result = StepResult()
        started = time.perf_counter()
        for batch in plan.prefill:
            logits_BV, known = self._prefill(batch, result)
            ended = [index for index, chunk in enumerate(batch) if chunk.sequence.ready]
            if ended:
                rows = [batch[index].sequence.rows[0] for index in ended]
                self._choose(_some(logits_BV, ended), [known[index] for index in ended], rows, result)
        prefilled = time.perf_counter()
        if plan.decode:
            self._choose(*self._decode(plan.decode), plan.decode, result)
        result.prefill_s, result.decode_s = prefilled - started, time.perf_counter() - prefilled
        return result

    @torch.inference_mode()
    def align(self, sequence: Sequence, tokens: list[int], layer: int) -> list[list[float]]:
        """A row over the prompt for each of a result's tokens, by one pass over the whole translation."""
        config = self.model.config
        assert isinstance(config, AutoregressiveConfig), "only a translator is asked"
        target = [config.start_id, *sequence.spec.target_prefix, *tokens[:-1]]
        batch = Seq2SeqBatch(
            source_BS=self._tensor([sequence.spec.prompt]),
            source_lengths_B=self._tensor([len(sequence.spec.prompt)]),
            target_BT=self._tensor([target]),
        )
        weights_TS = cast(Aligning, self.model).alignment(batch, layer)[0]
        return weights_TS[len(sequence.spec.target_prefix) :].tolist()

    def _copy(self, copies: list[Copy]) -> None:
        if self._programs is not None:
            self._programs.copy(copies)
            return
        for copy in copies:
            self.state.copy(*copy)

    def _prefill(self, chunks: list[Chunk], result: StepResult) -> Outcome:
        pieces = _pieces(chunks)
        if self._programs is not None:
            result.padded_tokens += sum(map(len, chunks))
            outcome = self._programs.prefill(pieces)
            return outcome if pieces.lists is None else _among(outcome[0][: len(chunks)], pieces.lists)
        prompts = self._prompts(pieces)
        result.padded_tokens += prompts.tokens_BS.numel()
        slots_B, memories_B = self._tensor(pieces.slots), self._tensor(pieces.memories)
        logits_BV = self.model.prefill(prompts, slots_B, self.state, memories_B)
        return _among(logits_BV, pieces.lists)

    def _decode(self, rows: list[Row]) -> Outcome:
        if self._programs is not None:
            again, self._rows = rows == self._rows, rows
            tokens = [row.tokens[-1] for row in rows]
            outcome = (
                self._programs.advance(tokens)
                if again
                else self._programs.decode(
                    tokens,
                    [row.position for row in rows],
                    [row.slot for row in rows],
                    [row.sequence.slot for row in rows],
                )
            )
            lists = None if self._programs.lists else _lists(row.sequence for row in rows)
            return outcome if lists is None else _among(outcome[0][: len(rows)], lists)
        sequences = list({row.sequence: None for row in rows})
        used = rows[-1].slot + 1
        shape = self._step.round_up(self._shape(rows, sequences, used))
        tokens, positions = [self.pad_id] * shape.rows, [-1] * shape.rows
        readers, places = [0] * (shape.memories * shape.width), [0] * (shape.rows if shape.width else 0)
        for row in rows:
            tokens[row.slot], positions[row.slot] = row.tokens[-1], row.position
        if shape.width:
            for sequence in sequences:
                for beam, row in enumerate(sequence.rows):
                    place = sequence.slot * shape.width + beam
                    readers[place], places[row.slot] = row.slot, place
        inputs = StepInputs(tokens=tokens, positions=positions, readers=readers, places=places)
        logits_BV = self._step.run(shape, inputs)
        # Rows without a token, whose prompt is still being read, may lie between the others.
        logits_BV = logits_BV[:used] if used == len(rows) else logits_BV[[row.slot for row in rows]]
        return _among(logits_BV, _lists(row.sequence for row in rows))

    def _shape(self, rows: list[Row], sequences: list[Sequence], used: int) -> StepShape:
        length = max(row.position for row in rows) + 1
        if not self.capabilities.memory:
            return StepShape(rows=used, length=length)
        source = max(len(sequence.spec.prompt) for sequence in sequences)
        if all(row.slot == row.sequence.slot for row in rows):
            return StepShape(rows=used, length=length, source=source)
        memories = max(sequence.slot for sequence in sequences) + 1
        width = max(sequence.spec.width for sequence in sequences)
        return StepShape(rows=used, length=length, source=source, memories=memories, width=width)

    def _choose(self, logits_BV: Tensor, known: list[int], rows: list[Row], result: StepResult) -> None:
        beams = [index for index, row in enumerate(rows) if row.sequence.search]
        if beams:
            result.branches |= branches(_some(logits_BV, beams), [rows[index] for index in beams])
            others = [index for index, row in enumerate(rows) if not row.sequence.search]
            logits_BV = _some(logits_BV, others)
            known, rows = [known[index] for index in others], [rows[index] for index in others]
        if rows:
            tokens = choose(logits_BV, rows, known)
            result.rows += rows
            result.tokens += tokens
            curious = [index for index, row in enumerate(rows) if row.sequence.curious]
            if curious:
                those = [rows[index] for index in curious]
                result.details |= _details(_some(logits_BV, curious), [tokens[index] for index in curious], those)

    def _prompts(self, pieces: Pieces) -> Prompts:
        prefixes, lengths = pieces.prefixes, [len(tokens) for tokens in pieces.tokens]
        return Prompts(
            tokens_BS=self._padded(pieces.tokens, self.pad_id),
            lengths_B=self._tensor(lengths),
            segments_BS=None if pieces.segments is None else self._padded(pieces.segments, 0),
            starts_B=self._tensor(pieces.starts) if any(pieces.starts) else None,
            prefix_BT=None if prefixes is None else self._padded(prefixes, self.pad_id),
            prefix_lengths_B=None if prefixes is None else self._tensor([len(prefix) for prefix in prefixes]),
        )

    def _padded(self, rows: list[list[int]], fill: int) -> Tensor:
        longest = max(map(len, rows))
        return self._tensor([row + [fill] * (longest - len(row)) for row in rows])

    def _tensor(self, values: list[int] | list[list[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)


def _pieces(chunks: list[Chunk]) -> Pieces:
    sequences = [chunk.sequence for chunk in chunks]
    segments = [each.spec.segments for each in sequences if each.spec.segments is not None]
    prefixes = [each.spec.target_prefix for each in sequences]
    return Pieces(
        tokens=[chunk.tokens for chunk in chunks],
        slots=[each.rows[0].slot for each in sequences],
        memories=[each.slot for each in sequences],
        starts=[chunk.start for chunk in chunks],
        segments=segments if len(segments) == len(chunks) else None,
        prefixes=prefixes if any(prefixes) else None,
        lists=_lists(sequences),
    )


def _details(logits_BV: Tensor, tokens: list[int], rows: list[Row]) -> dict[Row, Details]:
    values, best = logprobs(logits_BV, tokens, rows), best_tokens(logits_BV, rows)
    # A model's sequences want their logits or do not, all of them.
    logits = logits_BV.tolist() if rows[0].sequence.spec.want_logits else [None] * len(rows)
    return {row: Details(*each) for row, *each in zip(rows, values, best, logits, strict=True)}


def _lists(sequences: Iterable[Sequence]) -> list[np.ndarray | None] | None:
    """None where none has one."""
    lists = [each.spec.shortlist for each in sequences]
    return None if all(each is None for each in lists) else lists


def _among(logits_BV: Tensor, lists: list[np.ndarray | None] | None) -> Outcome:
    """Each row's choice, among its list."""
    if lists is not None:
        logits_BV = restrict(logits_BV, lists)
    return logits_BV, best(logits_BV).tolist()


def _some(logits_BV: Tensor, rows: list[int]) -> Tensor:
    """Of rows in rising order: a view, if these are the first ones."""
    count = len(rows)
    return logits_BV[rows] if count and rows[-1] >= count else logits_BV[:count]
