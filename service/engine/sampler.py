"""Logits to tokens. A row's choice depends on its own logits, settings and random number alone.

Order of the transforms, as in `transformers`: temperature, top-k, then top-p on what top-k left (Holtzman et al. 2020).
Shapes: B rows, V vocabulary, K rows that sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from service.engine.sequence import Sequence


def choose(logits_BV: Tensor, sequences: list[Sequence]) -> list[int]:
    """The next token of each row; draws one random number from each sampled sequence."""
    tokens = logits_BV.argmax(dim=1).tolist()
    rows = [row for row, sequence in enumerate(sequences) if not sequence.sampling.greedy]
    if rows:
        sampled = sample(logits_BV[rows].float(), [sequences[row] for row in rows]).tolist()
        for row, token in zip(rows, sampled, strict=True):
            tokens[row] = token
    return tokens


def sample(logits_KV: Tensor, sequences: list[Sequence]) -> Tensor:
    """[K] tokens by inversion of the cumulative distribution over tokens sorted by probability."""
    vocabulary = logits_KV.shape[1]

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=logits_KV.device)[:, None]

    settings = [s.sampling for s in sequences]
    temperature_K1 = column([s.temperature for s in settings])
    top_k_K1 = column([min(s.top_k or vocabulary, vocabulary) for s in settings])
    top_p_K1 = column([1.0 if s.top_p is None else s.top_p for s in settings])
    drawn_K1 = column([s.random.random() for s in sequences])

    sorted_KV, tokens_KV = (logits_KV / temperature_K1).sort(dim=1, descending=True, stable=True)
    ranks_V = torch.arange(vocabulary, device=logits_KV.device)
    weights_KV = sorted_KV.softmax(dim=1) * (ranks_V < top_k_K1)
    weights_KV = weights_KV / weights_KV.sum(dim=1, keepdim=True)
    before_KV = weights_KV.cumsum(dim=1) - weights_KV
    kept_KV = (before_KV < top_p_K1) | (ranks_V == 0)  # the first token always stays
    cumulative_KV = (weights_KV * kept_KV).cumsum(dim=1)
    target_K1 = drawn_K1 * cumulative_KV[:, -1:]
    # Rounding may put the target at the very end of the distribution: stay on the last token that was kept.
    picked_K1 = (cumulative_KV <= target_K1).sum(dim=1, keepdim=True).minimum(kept_KV.sum(dim=1, keepdim=True) - 1)
    return tokens_KV.gather(1, picked_K1)[:, 0]


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
