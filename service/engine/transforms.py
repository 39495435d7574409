"""What a request's settings do to its logits and probabilities, row by row.

First on the logits of every request, greedy ones too: `add_bias`, `penalize_repetition`, `penalize_output`,
`forbid_ngrams`, `forbid`; then on the probabilities of those that sample: `top_k`, `top_p`, `min_p`, `typical_p`, each
on what the ones before left. Definitions and order are those of `transformers`' generate; presence and frequency
penalties, which it does not have, stand where vLLM has them. No row sees another one.

Shapes: K rows that use the transform, V vocabulary; a setting is a column [K, 1]. The filters take weights >= 0 in
descending order, of any positive sum, and return them with zeros for what falls away; something always stays.
Knows nothing of sequences or of who uses what.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor


def count_tokens(tokens: list[list[int]], like_KV: Tensor) -> Tensor:
    """[K, V] how often each token is in the row's list."""
    rows = torch.tensor([row for row, ids in enumerate(tokens) for _ in ids], dtype=torch.int64)
    ids = torch.tensor(list(chain.from_iterable(tokens)), dtype=torch.int64)
    one = torch.ones((), dtype=like_KV.dtype, device=like_KV.device)
    index = (rows.to(like_KV.device), ids.to(like_KV.device))
    return torch.zeros_like(like_KV).index_put_(index, one, accumulate=True)


def add_bias(logits_KV: Tensor, biases: list[tuple[tuple[int, float], ...]]) -> Tensor:
    """Add to each row its own (token, bias) pairs."""
    rows = [row for row, pairs in enumerate(biases) for _ in pairs]
    ids, values = zip(*chain.from_iterable(biases), strict=True)
    device = logits_KV.device
    index = (torch.tensor(rows, device=device), torch.tensor(ids, device=device))
    return logits_KV.index_put(index, torch.tensor(values, dtype=logits_KV.dtype, device=device), accumulate=True)


def penalize_repetition(logits_KV: Tensor, counts_KV: Tensor, penalty_K1: Tensor) -> Tensor:
    """Make tokens that were there less likely, however often they were: Keskar et al. 2019, "CTRL", section 4.1.

    Negative logits are multiplied, as everybody does: dividing would make those tokens more likely.
    """
    penalized_KV = torch.where(logits_KV > 0, logits_KV / penalty_K1, logits_KV * penalty_K1)
    return torch.where(counts_KV > 0, penalized_KV, logits_KV)


def penalize_output(logits_KV: Tensor, counts_KV: Tensor, presence_K1: Tensor, frequency_K1: Tensor) -> Tensor:
    """Subtract `presence` from what was there and `frequency` for each time it was, as OpenAI defines them."""
    return logits_KV - presence_K1 * (counts_KV > 0) - frequency_K1 * counts_KV


def forbid(logits_KV: Tensor, tokens_KN: Tensor) -> Tensor:
    """Rule out some tokens of each row: the end tokens, while `min_new_tokens` are not there."""
    return logits_KV.scatter(1, tokens_KN, float("-inf"))


def forbid_ngrams(logits_KV: Tensor, tokens: list[list[int]], sizes: list[int]) -> Tensor:
    """Rule out each token that would complete a run of `size` tokens that the row has had before."""
    banned = [
        (row, token) for row, (ids, size) in enumerate(zip(tokens, sizes, strict=True)) for token in _after(ids, size)
    ]
    if not banned:
        return logits_KV
    rows, ids = (torch.tensor(each, device=logits_KV.device) for each in zip(*banned, strict=True))
    return logits_KV.index_put((rows, ids), logits_KV.new_tensor(float("-inf")))


def _after(tokens: list[int], size: int) -> set[int]:
    """What has followed the last `size` - 1 tokens before."""
    last = tokens[len(tokens) - size + 1 :]
    return {tokens[end] for end in range(size - 1, len(tokens)) if tokens[end - size + 1 : end] == last}


def top_k(weights_KV: Tensor, k_K1: Tensor) -> Tensor:
    """The k best (Fan et al. 2018); among equals, the first ones."""
    return weights_KV * (torch.arange(weights_KV.shape[1], device=weights_KV.device) < k_K1)


def top_p(weights_KV: Tensor, p_K1: Tensor) -> Tensor:
    """The fewest best tokens that have a share of p together: the nucleus (Holtzman et al. 2020)."""
    return weights_KV * _fewest(_normalized(weights_KV), p_K1)


def min_p(weights_KV: Tensor, p_K1: Tensor) -> Tensor:
    """Tokens at least p times as likely as the best one (Nguyen et al. 2024)."""
    return weights_KV * (weights_KV >= p_K1 * weights_KV.amax(dim=1, keepdim=True))


def typical_p(weights_KV: Tensor, p_K1: Tensor) -> Tensor:
    """The fewest tokens with a share of p together, those first whose surprise is nearest the entropy.

    Meister et al. 2023, "Locally typical sampling". The best token may fall away.
    """
    shares_KV = _normalized(weights_KV)
    entropy_K1 = torch.special.entr(shares_KV).sum(dim=1, keepdim=True)
    order_KV = (-shares_KV.log() - entropy_K1).abs().argsort(dim=1, stable=True)
    kept_KV = _fewest(shares_KV.gather(1, order_KV), p_K1)
    return weights_KV * torch.zeros_like(kept_KV).scatter(1, order_KV, kept_KV)


def _normalized(weights_KV: Tensor) -> Tensor:
    return weights_KV / weights_KV.sum(dim=1, keepdim=True)


def _fewest(shares_KV: Tensor, p_K1: Tensor) -> Tensor:
    """[K, V] true for the first tokens up to the one that reaches a share of p; for the first in any case."""
    kept_KV = shares_KV.cumsum(dim=1) - shares_KV < p_K1
    kept_KV[:, 0] = True
    return kept_KV


def exponential(seed_K1: Tensor, places: Tensor) -> Tensor:
    """Independent exponential numbers of mean 1 [K, N], a row from one int64 alone: the outputs of SplitMix64 at
    `places` [N] or [K, N].

    Steele et al. 2014, "Fast splittable pseudorandom number generators". A product that overflows wraps, as it should.
    """
    bits_KV = seed_K1 + places * -0x61C8864680B583EB
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        bits_KV = (bits_KV ^ _shifted(bits_KV, shift)) * factor
    # The upper 31 bits as a number in (0, 1): small ones, which win, have all of a float's precision; none becomes 1.
    uniform_KV = ((_shifted(bits_KV, 33).float() + 0.5) * 2**-31).clamp_(max=1 - 2**-24)
    return -torch.log1p(-uniform_KV)


def _shifted(bits: Tensor, count: int) -> Tensor:
    """To the right, with zeros from the left."""
    return (bits >> count) & ((1 << (64 - count)) - 1)
