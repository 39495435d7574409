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


class Programs:
    def __init__(self, model: Any, state: Any) -> None:
        """Raises NotRecordable."""
        self.model, self.state = model, state
        self._record = Recorder()
        self._rows: Packed | None = None
        with torch.inference_mode():
            self._pass = self._of_prompts(TOKENS)
            if model.config.capabilities.decodes:
                self._rows = Packed.room(max(state.slots, EXTENTS[0]), 1)
                self._step = self._of_rows(self._rows)
                self._copies = np.zeros((max(state.slots, EXTENTS[0]), 4), dtype=np.int64)
                self._copy = self._of_copies(torch.from_numpy(self._copies))

    def decode(self, tokens: list[int], positions: list[int], slots: list[int], memories: list[int]) -> Outcome:
        """Of rows with their tokens, positions, slots and memory rows. It holds until the next call."""
        assert self._rows is not None, "a model that does not decode is not asked to"
        count = len(tokens)
        self._rows.fields[:4, :count] = tokens, positions, slots, memories
        return self._stepped(count)

    def advance(self, tokens: list[int]) -> Outcome:
        """Of the rows of the last call with these tokens, each at the next position. It holds until the next call."""
        assert self._rows is not None, "there was a call before"
        count = len(tokens)
        self._rows.fields[0, :count] = tokens
        self._rows.fields[1, :count] += 1
        return self._stepped(count)

    def _stepped(self, count: int) -> Outcome:
        self._step.run(count)
        return _first(self._step, count)

    def copy(self, copies: Sequence[Copy]) -> None:
        """Of positions of slots, in their order."""
        for start in range(0, len(copies), len(self._copies)):
            some = copies[start : start + len(self._copies)]
            self._copies[: len(some)] = some
            self._copies[: len(some), 2:] += 1  # position 0 is in column 1
            self._copy.run(len(some))

    def prefill(self, pieces: Pieces) -> Outcome:
        """It holds until the next call."""
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
        return _first(self._pass.program, count)

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
