"""Decode steps and passes over prompts as programs of the CPU's kernels, for models that compute nothing else.

Each is recorded once and run for as many rows as there are: nothing is padded. Knows nothing of sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.interface import Servable, State
from models.native.library import instruction_set
from models.native.linear import NativeInt8Linear
from models.native.programs import EXTENTS, NotRecordable, Program, Recorder
from models.native.vocabulary import best
from models.packing import Packed, Pieces, Reading
from service.engine.slots import Copy

Outcome = tuple[Tensor, list[int]]  # logits [B, V], or more rows, of which the first count; and the B best tokens

TOKENS = 1024  # of prompts that there is room for at first


@dataclass(frozen=True, slots=True)
class _Pass:
    program: Program
    source: Packed
    target: Packed


@dataclass(frozen=True, slots=True)
class _Listed:
    """Steps of rows that have lists of tokens, beside others."""

    step: Program
    lists_LN: Tensor  # int32, of each memory row: how many tokens, and these; none: all may come

    @property
    def counts(self) -> np.ndarray:
        return self.lists_LN.numpy()[:, 0]

    def keep(self, memory: int, tokens: np.ndarray | None) -> None:
        own = self.lists_LN.numpy()[memory]
        own[0] = 0 if tokens is None else len(tokens)
        if tokens is not None:
            own[1 : 1 + len(tokens)] = tokens


class Programs:
    def __init__(self, model: Any, state: Any) -> None:
        """Raises NotRecordable."""
        self.model, self.state = model, state
        self._record = Recorder()
        self._rows: Packed | None = None
        self._listed: _Listed | None = None
        # Whether `decode` restricts rows to their lists; where it does not, logits are of all tokens.
        self.lists = _listable(model)
        with torch.inference_mode():
            self._pass = self._of_prompts(TOKENS)
            if model.config.capabilities.decodes:
                self._rows = Packed.room(max(state.slots, EXTENTS[0]), 1)
                self._step = self._current = self._of_rows(self._rows)
                self._copies = np.zeros((max(state.slots, EXTENTS[0]), 4), dtype=np.int64)
                self._copy = self._of_copies(torch.from_numpy(self._copies))

    def decode(self, tokens: list[int], positions: list[int], slots: list[int], memories: list[int]) -> Outcome:
        """Of rows with their tokens, positions, slots and memory rows. It holds until the next call."""
        assert self._rows is not None, "a model that does not decode is not asked to"
        count = len(tokens)
        self._rows.fields[:4, :count] = tokens, positions, slots, memories
        listed = self._listed is not None and bool(self._listed.counts[memories].any())
        self._current = self._listed.step if listed and self._listed is not None else self._step
        return self._stepped(count)

    def advance(self, tokens: list[int]) -> Outcome:
        """Of the rows of the last call with these tokens, each at the next position. It holds until the next call."""
        assert self._rows is not None, "there was a call before"
        count = len(tokens)
        self._rows.fields[0, :count] = tokens
        self._rows.fields[1, :count] += 1
        return self._stepped(count)

    def _stepped(self, count: int) -> Outcome:
        self._current.run(count)
        return _first(self._current, count)

    def copy(self, copies: Sequence[Copy]) -> None:
        """Of positions of slots, in their order."""
        for start in range(0, len(copies), len(self._copies)):
            some = copies[start : start + len(self._copies)]
            self._copies[: len(some)] = some
            self._copies[: len(some), 2:] += 1  # position 0 is in column 1
            self._copy.run(len(some))

    def prefill(self, pieces: Pieces) -> Outcome:
        """It holds until the next call. Logits are of all tokens; lists hold for what is decoded afterwards."""
        reading: Reading = self.model.prepared(pieces, self.state)
        source, target = reading.source, reading.target
        count = len(pieces.tokens)
        tokens = [0 if part is None else part.tokens for part in (source, target)]
        if max(tokens) > self._pass.source.tokens or count > self._pass.source.prompts:
            self._pass = self._of_prompts(2 * max(*tokens, count))
        for buffer, part in ((self._pass.source, source), (self._pass.target, target)):
            if part is not None:
                buffer.fill(part)
        self._pass.program.run(*tokens, count)
        self._keep(pieces)
        return _first(self._pass.program, count)

    def _keep(self, pieces: Pieces) -> None:
        if pieces.lists is not None and self._listed is None and self.lists:
            self._listed = self._of_lists()
        if self._listed is not None:
            for memory, tokens in zip(pieces.memories, pieces.lists or [None] * len(pieces.memories), strict=True):
                self._listed.keep(memory, tokens)

    def _of_lists(self) -> _Listed:
        """Made when the first request comes that has a list: without one it would be but memory."""
        rows, embedding = self._rows, self.model.embedding
        assert rows is not None, "what does not decode has no lists"
        assert embedding.output.plain_NK.numel(), "made now, as that cannot be recorded"
        kept = rows.fields.copy()  # rows may be at work
        rows.fields[:] = 0
        rows.fields[1] = -1  # recording runs the step: nothing but the scrap column is written to
        lists_LN = torch.zeros(self.state.slots, 1 + self.model.config.vocab_size, dtype=torch.int32)

        def step() -> tuple[Tensor, Tensor]:
            own = rows.first(EXTENTS[0], 1)
            state = self.state.at(own.slots_T, own.memories_T)
            hidden_BC = self.model.decoded(own.tokens_T, own.positions_T, state)
            logits_BV = embedding.output.some(hidden_BC, own.memories_T, lists_LN)
            return _chosen(logits_BV if embedding.output_bias is None else logits_BV + embedding.output_bias)

        listed = _Listed(self._record(step, [rows.tokens]), lists_LN)
        rows.fields[:] = kept
        return listed

    def _of_rows(self, rows: Packed) -> Program:
        def step() -> tuple[Tensor, Tensor]:
            own = rows.first(EXTENTS[0], 1)
            return _chosen(self.model.decode(own.tokens_T, own.positions_T, self.state.at(own.slots_T, own.memories_T)))

        return self._record(step, [rows.tokens])

    def _of_copies(self, copies_N4: Tensor) -> Program:
        def copy() -> tuple[()]:
            self.state.copy_all(copies_N4[: EXTENTS[0]])
            return ()

        return self._record(copy, [copies_N4.shape[0]])

    def _of_prompts(self, tokens: int) -> _Pass:
        prompts = max(self.state.slots, EXTENTS[2])
        source, target = Packed.room(tokens, prompts), Packed.room(tokens, prompts)
        reads = Reading(source.first(EXTENTS[0], EXTENTS[2]), target.first(EXTENTS[1], EXTENTS[2]))
        program = self._record(lambda: _chosen(self.model.read(reads, self.state)), [tokens, tokens, prompts])
        return _Pass(program, source, target)


def _chosen(logits_BV: Tensor) -> tuple[Tensor, Tensor]:
    return logits_BV, best(logits_BV)


def _first(program: Program, count: int) -> Outcome:
    logits_BV, best_B = program.results
    return logits_BV, best_B.numpy()[:count].tolist()


def make_programs(model: Servable, state: State, device: torch.device) -> Programs | None:
    """None where the model computes what no kernel does."""
    if device.type != "cpu" or instruction_set() is None or not getattr(model, "packs", False):
        return None
    try:
        return Programs(model, state)
    except NotRecordable:
        return None


def _listable(model: Any) -> bool:
    """Whether kernels multiply some tokens of its vocabulary alone."""
    output = getattr(getattr(model, "embedding", None), "output", None)
    return hasattr(model, "decoded") and isinstance(output, NativeInt8Linear) and not output.biased
