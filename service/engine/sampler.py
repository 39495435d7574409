"""Logits to tokens. A row's choice depends on its own logits, settings, tokens and random number alone.

Which rows use which transform; what the transforms do and in which order stands in `transforms`.
Shapes: B rows, V vocabulary, K rows that do more than take the best token.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.native import vocabulary
from service.engine import transforms
from service.engine.beams import Continuation
from service.engine.sequence import Row, Sampling

Adjustment = Callable[[Tensor, list[Row]], Tensor]
Filter = Callable[[Tensor, Tensor], Tensor]

# As float32 these stay clear of 0 and infinity, so that no logit becomes NaN; beyond them nothing changes any more.
COLDEST, HOTTEST = 1e-5, 1e5
BLOCK = 128  # logits that share a maximum in the search for the best ones
FEW = 128  # the largest `top_k` whose tokens are found without sorting the vocabulary


def choose(logits_BV: Tensor, rows: list[Row], known: list[int] | None = None) -> list[int]:
    """The next token of each row; draws one random number for each that samples. `known`: the `best` ones, if they are
    known."""
    tokens = best(logits_BV).tolist() if known is None else list(known)
    picky = [index for index, row in enumerate(rows) if not row.sequence.plain]
    if picky:
        others = [rows[index] for index in picky]
        picked = _pick(adjust(logits_BV[picky].float(), others), others)
        for index, token in zip(picky, picked, strict=True):
            tokens[index] = token
    return tokens


@dataclass(frozen=True)
class Continuations:
    """Of each row the best tokens and their log-probabilities, best first, and others that are wanted."""

    tokens_BN: np.ndarray
    logprobs_BN: np.ndarray  # float64
    wanted: dict[int, list[Continuation]]

    def of(self, row: int) -> list[Continuation]:
        best = zip(self.tokens_BN[row].tolist(), self.logprobs_BN[row].tolist(), strict=True)
        return [*best, *self.wanted.get(row, ())]


def continuations(logits_BV: Tensor, rows: list[Row], count: int, wanted: dict[int, list[int]]) -> Continuations:
    """The `count` best tokens of each row, and those that are `wanted` of some besides.

    What a sequence asks for is done to the log-probabilities and they are not normalized again, as in `transformers`.
    """
    count = min(count, logits_BV.shape[1])
    tokens_BN = np.empty((len(rows), count), dtype=np.int64)
    logprobs_BN = np.empty((len(rows), count))
    more: dict[int, list[Continuation]] = {}
    for plain in (True, False):
        some = [index for index, row in enumerate(rows) if row.sequence.plain == plain]
        if some:
            alone = len(some) == len(rows)
            scores_KV = logits_BV if alone else logits_BV[some]
            if plain:
                best_KN, ids_KN, totals_K = _likeliest(scores_KV, count)
            else:
                scores_KV = adjust(scores_KV.float().log_softmax(dim=1), [rows[index] for index in some])
                (best_KN, ids_KN), totals_K = top(scores_KV, count), scores_KV.new_zeros(len(some))
            places = slice(None) if alone else some
            tokens_BN[places], logprobs_BN[places] = ids_KN.cpu().numpy(), best_KN.cpu().numpy()
            if wanted:
                more |= _besides(scores_KV, totals_K, some, tokens_BN, wanted)
    return Continuations(tokens_BN, logprobs_BN, more)


def _besides(
    scores_KV: Tensor, totals_K: Tensor, rows: list[int], tokens_BN: np.ndarray, wanted: dict[int, list[int]]
) -> dict[int, list[Continuation]]:
    """What is wanted of these rows and not among their best tokens; its score is less the row's total."""
    places = [
        (k, token)
        for k, row in enumerate(rows)
        for token in wanted.get(row, ())
        if token not in tokens_BN[row].tolist()
    ]
    found: dict[int, list[Continuation]] = defaultdict(list)
    if places:
        ks, tokens = torch.tensor(places, device=scores_KV.device).unbind(dim=1)
        values = (scores_KV[ks, tokens].float() - totals_K[ks]).tolist()
        for (k, token), value in zip(places, values, strict=True):
            found[rows[k]].append((token, value))
    return found


def _likeliest(logits_BV: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best log-probabilities [B, N] and their tokens; and [B] what a logit is above its log-probability."""
    if vocabulary.chooses(logits_BV):
        best_BN, tokens_BN, totals_B = vocabulary.top(logits_BV, count)
    else:
        logits_BV = logits_BV.float()
        best_BN, tokens_BN = top(logits_BV, count)
        totals_B = logits_BV.logsumexp(dim=1)
    return best_BN - totals_B[:, None], tokens_BN, totals_B


def best(logits_BV: Tensor) -> Tensor:
    """`argmax`; without a kernel by blocks: vectorized maxima first, then the place in one. Of equals, the first."""
    if vocabulary.chooses(logits_BV):
        return vocabulary.best(logits_BV)
    logits_BV = logits_BV.float()  # maxima of bfloat16 are not vectorized
    blocks = logits_BV.shape[1] // BLOCK
    if logits_BV.shape[0] < 4 or blocks < 2:
        return logits_BV.argmax(dim=1)
    whole_BMN = logits_BV[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK))
    maxima_BM = whole_BMN.amax(dim=2)
    block_B = maxima_BM.argmax(dim=1)
    rows_B = torch.arange(logits_BV.shape[0], device=logits_BV.device)
    token_B = block_B * BLOCK + whole_BMN[rows_B, block_B].argmax(dim=1)
    rest_BN = logits_BV[:, blocks * BLOCK :]
    if rest_BN.shape[1]:
        highest_B, place_B = rest_BN.max(dim=1)
        token_B = torch.where(highest_B > maxima_BM[rows_B, block_B], blocks * BLOCK + place_B, token_B)
    return token_B


def top(logits_BV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`topk`, many times quicker on the CPU: the best ones lie in the `count` blocks with the highest maxima."""
    blocks, rest = divmod(logits_BV.shape[1], BLOCK)
    if blocks <= count:
        return logits_BV.topk(count, dim=1)
    whole_BMN = logits_BV[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK))
    chosen_BK = whole_BMN.amax(dim=2).topk(count, dim=1).indices
    columns_BN = (chosen_BK[:, :, None] * BLOCK + torch.arange(BLOCK, device=logits_BV.device)).flatten(1)
    if rest:
        tail = torch.arange(blocks * BLOCK, blocks * BLOCK + rest, device=logits_BV.device)
        columns_BN = torch.cat([columns_BN, tail.expand(logits_BV.shape[0], -1)], dim=1)
    best = logits_BV.gather(1, columns_BN).topk(count, dim=1)
    return best.values, columns_BN.gather(1, best.indices)


def _pick(logits_KV: Tensor, rows: list[Row]) -> list[int]:
    random = [index for index, row in enumerate(rows) if row.sequence.spec.sampling.do_sample]
    if len(random) == len(rows):
        return sample(logits_KV, rows).tolist()
    tokens = best(logits_KV).tolist()
    if random:
        drawn = sample(logits_KV[random], [rows[index] for index in random]).tolist()
        for index, token in zip(random, drawn, strict=True):
            tokens[index] = token
    return tokens


def adjust(logits_KV: Tensor, rows: list[Row]) -> Tensor:
    """The logits after bias, penalties and what is ruled out; changes `logits_KV` in place."""
    settings = [row.sequence.spec.sampling for row in rows]
    ends = [row.sequence.spec.end_id is not None and len(row.tokens) < row.sequence.spec.min_new_tokens for row in rows]
    steps: tuple[tuple[Adjustment, list[bool]], ...] = (
        (_bias, [bool(each.logit_bias) for each in settings]),
        (_repetition, [each.repetition_penalty != 1 for each in settings]),
        (_output, [bool(each.presence_penalty or each.frequency_penalty) for each in settings]),
        (_ngrams, [bool(each.no_repeat_ngram_size) for each in settings]),
        (_end, ends),
    )
    for adjustment, uses in steps:
        some = [index for index, used in enumerate(uses) if used]
        if some:
            logits_KV[some] = adjustment(logits_KV[some], [rows[index] for index in some])
    return logits_KV


def _seen(row: Row) -> list[int]:
    """The text so far: a translation's is not its prompt's."""
    spec = row.sequence.spec
    return (spec.prompt if spec.sampling.penalize_prompt else spec.target_prefix) + row.tokens


def _bias(logits_KV: Tensor, rows: list[Row]) -> Tensor:
    return transforms.add_bias(logits_KV, [row.sequence.spec.sampling.logit_bias for row in rows])


def _repetition(logits_KV: Tensor, rows: list[Row]) -> Tensor:
    counts_KV = transforms.count_tokens([_seen(row) for row in rows], logits_KV)
    penalty_K1 = _column([row.sequence.spec.sampling.repetition_penalty for row in rows], logits_KV)
    return transforms.penalize_repetition(logits_KV, counts_KV, penalty_K1)


def _output(logits_KV: Tensor, rows: list[Row]) -> Tensor:
    counts_KV = transforms.count_tokens([row.tokens for row in rows], logits_KV)
    presence_K1 = _column([row.sequence.spec.sampling.presence_penalty for row in rows], logits_KV)
    frequency_K1 = _column([row.sequence.spec.sampling.frequency_penalty for row in rows], logits_KV)
    return transforms.penalize_output(logits_KV, counts_KV, presence_K1, frequency_K1)


def _ngrams(logits_KV: Tensor, rows: list[Row]) -> Tensor:
    sizes = [row.sequence.spec.sampling.no_repeat_ngram_size for row in rows]
    return transforms.forbid_ngrams(logits_KV, [_seen(row) for row in rows], sizes)


def _end(logits_KV: Tensor, rows: list[Row]) -> Tensor:
    ends = [[row.sequence.spec.end_id or 0, *row.sequence.spec.other_ends] for row in rows]
    most = max(map(len, ends))
    filled = [[*each, *each[:1] * (most - len(each))] for each in ends]
    return transforms.forbid(logits_KV, torch.tensor(filled, device=logits_KV.device))


def sample(logits_KV: Tensor, rows: list[Row]) -> Tensor:
    """[K] tokens, each with its probability: the winner of a race of exponential clocks, one a token (the Gumbel-max
    trick; Maddison et al. 2014).

    Not by inversion of the cumulative distribution, in which what rounding moves at one token moves all behind it: here
    another token wins only where the first two were that near each other.
    """
    settings = [row.sequence.spec.sampling for row in rows]
    temperatures_K1 = _column([min(max(each.temperature, COLDEST), HOTTEST) for each in settings], logits_KV)
    drawn = [row.sequence.random.getrandbits(63) for row in rows]
    drawn_K1 = torch.tensor(drawn, dtype=torch.int64, device=logits_KV.device)[:, None]
    few = [each.top_k is not None and each.top_k <= FEW for each in settings]
    if not any(few) or not vocabulary.chooses(logits_KV):
        return _drawn(logits_KV, temperatures_K1, drawn_K1, settings)
    tokens_K = torch.empty(len(rows), dtype=torch.int64)
    for choose_among, own in ((_drawn_of_few, True), (_drawn, False)):
        some = [index for index, each in enumerate(few) if each is own]
        if some:
            those = [settings[index] for index in some]
            tokens_K[some] = choose_among(logits_KV[some], temperatures_K1[some], drawn_K1[some], those)
    return tokens_K


def _drawn(logits_KV: Tensor, temperatures_K1: Tensor, drawn_K1: Tensor, settings: list[Sampling]) -> Tensor:
    highest_K1 = logits_KV.amax(dim=1, keepdim=True)
    weights_KV = _filtered(((logits_KV - highest_K1) / temperatures_K1).softmax(dim=1), settings)
    everyone_V = torch.arange(logits_KV.shape[1], device=logits_KV.device)
    return (weights_KV / transforms.exponential(drawn_K1, everyone_V)).argmax(dim=1)


def _drawn_of_few(logits_KV: Tensor, temperatures_K1: Tensor, drawn_K1: Tensor, settings: list[Sampling]) -> Tensor:
    """Where none but the best few take part, nothing is done to all others. As many for every row, so that its sums are
    those it gets alone."""
    best_KN, tokens_KN, _ = vocabulary.top(logits_KV, FEW)
    weights_KN = _kept(((best_KN - best_KN[:, :1]) / temperatures_K1).exp(), settings)
    winners_K1 = (weights_KN / transforms.exponential(drawn_K1, tokens_KN)).argmax(dim=1, keepdim=True)
    return tokens_KN.gather(1, winners_K1)[:, 0]


def _filtered(weights_KV: Tensor, settings: list[Sampling]) -> Tensor:
    """Zero for the tokens that a row's filters leave out; the filters want the best ones first."""
    filtering = [index for index, each in enumerate(settings) if each.filters]
    if filtering:
        sorted_KV, tokens_KV = weights_KV[filtering].sort(dim=1, descending=True, stable=True)
        kept_KV = _kept(sorted_KV, [settings[index] for index in filtering])
        weights_KV[filtering] = torch.zeros_like(kept_KV).scatter(1, tokens_KV, kept_KV)
    return weights_KV


def _kept(weights_KV: Tensor, settings: list[Sampling]) -> Tensor:
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


def logprobs(logits_BV: Tensor, tokens: list[int], rows: list[Row]) -> list[float | None]:
    """Log-probability of each chosen token under the untransformed logits, for the sequences that want it."""
    result: list[float | None] = [None] * len(rows)
    wanted = [index for index, row in enumerate(rows) if row.sequence.spec.want_logprobs]
    if wanted:
        logits_KV = logits_BV[wanted].float()
        chosen_K1 = torch.tensor([tokens[index] for index in wanted], device=logits_BV.device)[:, None]
        values = (logits_KV.gather(1, chosen_K1)[:, 0] - logits_KV.logsumexp(dim=1)).tolist()
        for index, value in zip(wanted, values, strict=True):
            result[index] = value
    return result


def best_tokens(logits_BV: Tensor, rows: list[Row]) -> list[list[tuple[int, float]]]:
    """The n best (token, log-probability) of each row under the untransformed logits; n is the sequence's own."""
    result: list[list[tuple[int, float]]] = [[] for _ in rows]
    wanted = [index for index, row in enumerate(rows) if row.sequence.spec.top_n_tokens]
    if wanted:
        most = min(max(rows[index].sequence.spec.top_n_tokens for index in wanted), logits_BV.shape[1])
        best_KN, tokens_KN, _ = _likeliest(logits_BV[wanted], most)
        for index, ids, own in zip(wanted, tokens_KN.tolist(), best_KN.tolist(), strict=True):
            result[index] = list(zip(ids, own, strict=True))[: rows[index].sequence.spec.top_n_tokens]
    return result


def _column(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None]
