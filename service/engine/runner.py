"""Carries out a plan on the model: builds tensors, runs prefill and decode, chooses tokens. Never decides who runs.

Shapes: B rows, S prompt tokens, V vocabulary.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from models.cache import KeyValueCache
from models.interface import Prompts, Servable
from service.engine.sampler import best_tokens, choose, logprobs
from service.engine.scheduler import Plan
from service.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Choice:
    """What one sequence got in a step."""

    sequence: Sequence
    token: int
    logprob: float | None
    best: list[tuple[int, float]]
    logits: list[float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    choices: list[Choice]
    padded_tokens: int
    prefill_s: float
    decode_s: float


def bucket(count: int, step: int, limit: int) -> int:
    """`count` rounded up to a multiple of `step`, at most `limit`: few shapes, so that kernels are reused."""
    return min(-(-count // step) * step, limit)


class Runner:
    def __init__(self, model: Servable, cache: KeyValueCache, *, device: torch.device, pad_id: int) -> None:
        self.model, self.cache, self.device, self.pad_id = model, cache, device, pad_id

    @torch.inference_mode()
    def run(self, plan: Plan) -> StepResult:
        for move in plan.moves:
            self.cache.copy(move.source, move.target, 0, self.cache.length)
            if self.cache.source_length:
                self.cache.move_memory(move.source, move.target)
        started = time.perf_counter()
        choices: list[Choice] = []
        padded = 0
        for batch in plan.prefill:
            prompts = self._prompts(batch)
            padded += prompts.tokens_BS.numel()
            slots_B = self._tensor([s.slot or 0 for s in batch])
            choices += self._choose(self.model.prefill(prompts, slots_B, self.cache), batch)
        prefilled = time.perf_counter()
        if plan.decode:
            choices += self._choose(self._decode(plan.decode), plan.decode)
        return StepResult(
            choices=choices,
            padded_tokens=padded,
            prefill_s=prefilled - started,
            decode_s=time.perf_counter() - prefilled,
        )

    def _decode(self, sequences: list[Sequence]) -> Tensor:
        count = len(sequences)
        rows = count if count <= 8 else bucket(count, 4, self.cache.slots)
        padding = rows - count
        tokens_B = self._tensor([s.output[-1] for s in sequences] + [self.pad_id] * padding)
        positions_B = self._tensor([s.position for s in sequences] + [-1] * padding)
        length = bucket(max(s.position for s in sequences) + 1, 32, self.cache.length)
        source = bucket(max(len(s.prompt) for s in sequences), 16, self.cache.source_length)
        window = self.cache.window(rows, length, source)
        return self.model.decode(tokens_B, positions_B, window)[:count]

    def _choose(self, logits_BV: Tensor, sequences: list[Sequence]) -> list[Choice]:
        tokens = choose(logits_BV, sequences)
        values = logprobs(logits_BV, tokens, sequences)
        best = best_tokens(logits_BV, sequences)
        return [
            Choice(sequence, token, value, own, logits_BV[row].tolist() if sequence.want_logits else None)
            for row, (sequence, token, value, own) in enumerate(zip(sequences, tokens, values, best, strict=True))
        ]

    def _prompts(self, sequences: list[Sequence]) -> Prompts:
        lengths = [len(s.prompt) for s in sequences]
        longest = max(lengths)

        def padded(rows: list[list[int]], fill: int) -> Tensor:
            return self._tensor([row + [fill] * (longest - len(row)) for row in rows])

        segments = [s.segments for s in sequences if s.segments is not None]
        return Prompts(
            tokens_BS=padded([s.prompt for s in sequences], self.pad_id),
            lengths_B=self._tensor(lengths),
            segments_BS=padded(segments, 0) if len(segments) == len(sequences) else None,
        )

    def _tensor(self, values: list[int] | list[list[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)
