"""Logits to tokens. A row's choice depends on its own logits, settings, tokens and random number alone.

Which rows use which transform; what the transforms do and in which order stands in `transforms`.
Shapes: B rows, V vocabulary, K rows that do more than take the best token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from service.engine import transforms
from service.engine.sequence import Sampling, Sequence

Adjustment = Callable[[Tensor, list[Sequence]], Tensor]
Filter = Callable[[Tensor, Tensor], Tensor]

# As float32 these stay clear of 0 and infinity, so that no logit becomes NaN; beyond them nothing changes any more.
COLDEST, HOTTEST = 1e-5, 1e5


def choose(logits_BV: Tensor, sequences: list[Sequence]) -> list[int]:
    """The next token of each row; draws one random number from each sampled sequence."""
    tokens = logits_BV.argmax(dim=1).tolist()
    rows = [row for row, sequence in enumerate(sequences) if not sequence.plain]
    if rows:
        others = [sequences[row] for row in rows]
        logits_KV = adjust(logits_BV[rows].float(), others)
        for row, token in zip(rows, _pick(logits_KV, others), strict=True):
            tokens[row] = token
    return tokens


def _pick(logits_KV: Tensor, sequences: list[Sequence]) -> list[int]:
    tokens = logits_KV.argmax(dim=1).tolist()
    rows = [row for row, sequence in enumerate(sequences) if not sequence.sampling.greedy]
    if rows:
        sampled = sample(logits_KV[rows], [sequences[row] for row in rows]).tolist()
        for row, token in zip(rows, sampled, strict=True):
            tokens[row] = token
    return tokens


def adjust(logits_KV: Tensor, sequences: list[Sequence]) -> Tensor:
    """The logits after bias, penalties and the end token's ban; changes `logits_KV` in place."""
    steps: tuple[tuple[Adjustment, list[bool]], ...] = (
        (_bias, [bool(s.sampling.logit_bias) for s in sequences]),
        (_repetition, [s.sampling.repetition_penalty != 1 for s in sequences]),
        (_output, [bool(s.sampling.presence_penalty or s.sampling.frequency_penalty) for s in sequences]),
        (_end, [s.end_id is not None and len(s.output) < s.min_new_tokens for s in sequences]),
    )
    for adjustment, uses in steps:
        rows = [row for row, used in enumerate(uses) if used]
        if rows:
            logits_KV[rows] = adjustment(logits_KV[rows], [sequences[row] for row in rows])
    return logits_KV


def _bias(logits_KV: Tensor, sequences: list[Sequence]) -> Tensor:
    return transforms.add_bias(logits_KV, [s.sampling.logit_bias for s in sequences])


def _repetition(logits_KV: Tensor, sequences: list[Sequence]) -> Tensor:
    seen = [s.prompt + s.output if s.sampling.penalize_prompt else s.output for s in sequences]
    penalty_K1 = _column([s.sampling.repetition_penalty for s in sequences], logits_KV)
    return transforms.penalize_repetition(logits_KV, transforms.count_tokens(seen, logits_KV), penalty_K1)


def _output(logits_KV: Tensor, sequences: list[Sequence]) -> Tensor:
    counts_KV = transforms.count_tokens([s.output for s in sequences], logits_KV)
    presence_K1 = _column([s.sampling.presence_penalty for s in sequences], logits_KV)
    frequency_K1 = _column([s.sampling.frequency_penalty for s in sequences], logits_KV)
    return transforms.penalize_output(logits_KV, counts_KV, presence_K1, frequency_K1)


def _end(logits_KV: Tensor, sequences: list[Sequence]) -> Tensor:
    ends = [s.end_id or 0 for s in sequences]
    return transforms.forbid(logits_KV, torch.tensor(ends, device=logits_KV.device)[:, None])


def sample(logits_KV: Tensor, sequences: list[Sequence]) -> Tensor:
    """[K] tokens by inversion of the cumulative distribution over tokens sorted by probability."""
    temperatures = [min(max(s.sampling.temperature, COLDEST), HOTTEST) for s in sequences]
    drawn_K1 = _column([s.random.random() for s in sequences], logits_KV)

    highest_K1 = logits_KV.amax(dim=1, keepdim=True)
    scaled_KV = (logits_KV - highest_K1) / _column(temperatures, logits_KV)
    sorted_KV, tokens_KV = scaled_KV.sort(dim=1, descending=True, stable=True)
    weights_KV = _filtered(sorted_KV.softmax(dim=1), [s.sampling for s in sequences])
    cumulative_KV = weights_KV.cumsum(dim=1)
    target_K1 = drawn_K1 * cumulative_KV[:, -1:]
    # Rounding may put the target at the very end of the distribution: stay on the last token that was kept.
    ranks_V = torch.arange(weights_KV.shape[1], device=logits_KV.device)
    last_K1 = (ranks_V * (weights_KV > 0)).amax(dim=1, keepdim=True)
    picked_K1 = (cumulative_KV <= target_K1).sum(dim=1, keepdim=True).minimum(last_K1)
    return tokens_KV.gather(1, picked_K1)[:, 0]


def _filtered(weights_KV: Tensor, settings: list[Sampling]) -> Tensor:
    steps: tuple[tuple[Filter, list[float | None]], ...] = (
        (transforms.top_k, [s.top_k for s in settings]),
        (transforms.top_p, [s.top_p for s in settings]),
        (transforms.min_p, [s.min_p for s in settings]),
        (transforms.typical_p, [s.typical_p for s in settings]),
    )
    for apply, values in steps:
        used = {row: value for row, value in enumerate(values) if value is not None}
        if used:
            rows = list(used)
            weights_KV[rows] = apply(weights_KV[rows], _column(list(used.values()), weights_KV))
    return weights_KV


def logprobs(logits_BV: Tensor, tokens: list[int], sequences: list[Sequence]) -> list[float | None]:
    """Log-probability of each chosen token under the untransformed logits, for the sequences that want it."""
    result: list[float | None] = [None] * len(sequences)
    rows = [row for row, sequence in enumerate(sequences) if sequence.want_logprobs]
    if rows:
        logits_KV = logits_BV[rows].float()
        chosen_K1 = torch.tensor([tokens[row] for row in rows], device=logits_BV.device)[:, None]
        values = (logits_KV.gather(1, chosen_K1)[:, 0] - logits_KV.logsumexp(dim=1)).tolist()
        for row, value in zip(rows, values, strict=True):
            result[row] = value
    return result


def best_tokens(logits_BV: Tensor, sequences: list[Sequence]) -> list[list[tuple[int, float]]]:
    """The n best (token, log-probability) of each row under the untransformed logits; n is the sequence's own."""
    result: list[list[tuple[int, float]]] = [[] for _ in sequences]
    rows = [row for row, sequence in enumerate(sequences) if sequence.top_n_tokens]
    if rows:
        logits_KV = logits_BV[rows].float()
        most = min(max(sequences[row].top_n_tokens for row in rows), logits_KV.shape[1])
        best = logits_KV.topk(most, dim=1)
        values = (best.values - logits_KV.logsumexp(dim=1, keepdim=True)).tolist()
        for row, ids, own in zip(rows, best.indices.tolist(), values, strict=True):
            result[row] = list(zip(ids, own, strict=True))[: sequences[row].top_n_tokens]
    return result


def _column(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None]
