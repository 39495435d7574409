from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.engine import sampler
from service.engine.beams import Beams
from service.engine.sampler import best, best_tokens, choose, continuations, logprobs, top
from service.engine.sequence import Sampling, Sequence, SequenceSpec

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def running(**fields: Any) -> Sequence:
    sequence = Sequence(SequenceSpec(**{"id": "", "prompt": [1], "max_new_tokens": 1, **fields}))
    sequence.admit()
    return sequence


def sequence(
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    **fields: Any,
) -> Sequence:
    """Greedy where the temperature is 0."""
    sampling = Sampling(do_sample=temperature > 0, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    return running(sampling=sampling, **fields)


def expected(temperature: float, top_k: int | None, top_p: float | None) -> list[float]:
    """The distribution, written out token by token."""
    weights = [math.exp(x / temperature) for x in LOGITS.tolist()]
    weights = [w if top_k is None or rank < top_k else 0.0 for rank, w in enumerate(weights)]
    total, before, kept = sum(weights), 0.0, []
    for weight in weights:
        kept.append(weight if top_p is None or before / total < top_p else 0.0)
        before += weight
    return [w / sum(kept) for w in kept]


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, None, None), (0.5, None, None), (2.0, 3, None), (1.0, None, 0.8), (0.7, 4, 0.9), (1.0, 1, 1.0)],
)
def test_tokens_come_with_the_probabilities_of_the_definition(
    temperature: float, top_k: int | None, top_p: float | None
) -> None:
    draws = 4000
    rows = [sequence(seed, temperature, top_k, top_p).rows[0] for seed in range(draws)]
    counts = Counter(choose(LOGITS.expand(draws, -1), rows))
    for token, probability in enumerate(expected(temperature, top_k, top_p)):
        error = 4.5 * math.sqrt(max(probability * (1 - probability), 1e-9) / draws)
        assert abs(counts[token] / draws - probability) <= error, (token, counts[token] / draws, probability)


def test_the_best_token_is_never_drawn_where_a_filter_drops_it() -> None:
    draws, weights = 2000, torch.tensor([0.4] + [0.1] * 6)
    rows = [running(sampling=Sampling(do_sample=True, typical_p=0.45, seed=seed)) for seed in range(draws)]
    counts = Counter(choose(weights.log().expand(draws, -1), [each.rows[0] for each in rows]))
    assert sorted(counts) == [1, 2, 3, 4, 5], "the fewest of the typical ones that have the share"
    assert all(abs(count / draws - 0.2) < 0.04 for count in counts.values())


@pytest.mark.parametrize("temperature", [1e-300, 1e-6, 1e300])
def test_extreme_temperatures_still_draw_a_possible_token(temperature: float) -> None:
    row = sequence(temperature=temperature, min_new_tokens=1, end_id=0)
    token = choose(LOGITS[None], row.rows)[0]
    assert token == 1 if temperature < 1 else token in range(1, 6)


def test_the_best_tokens_come_as_many_as_wanted() -> None:
    wanting, other = sequence(1, top_n_tokens=2), sequence(2)
    got = best_tokens(LOGITS.expand(2, -1), [*wanting.rows, *other.rows])
    expected = LOGITS.log_softmax(0).tolist()
    assert [token for token, _ in got[0]] == [0, 1]
    assert [logprob for _, logprob in got[0]] == pytest.approx(expected[:2], abs=1e-5)
    assert got[1] == []


def test_greedy_takes_the_best_token_and_draws_nothing() -> None:
    greedy = sequence(temperature=0.0)
    assert choose(LOGITS[None], greedy.rows) == [0]
    assert greedy.random.random() == running().random.random()


def test_a_rows_choice_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    logits = torch.randn(20, 50)

    def draw(rows: list[int]) -> list[int]:
        sequences = [sequence(seed=row, temperature=0.0 if row % 3 == 0 else 1.3, top_p=0.9) for row in rows]
        return choose(logits[rows], [s.rows[0] for s in sequences])

    together = draw(list(range(20)))
    assert together == [draw([row])[0] for row in range(20)]
    assert draw([7, 3, 11]) == [together[7], together[3], together[11]]


def test_the_seed_decides() -> None:
    logits = torch.zeros(1, 1000)
    first, again, other = (choose(logits, sequence(seed).rows) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(("rounding", "most"), [(1e-6, 0), (5e-3, 10)])
def test_rounding_rarely_decides_what_is_drawn(rounding: float, most: int) -> None:
    noise = torch.Generator().manual_seed(0)
    logits = torch.randn(1000, 2000, generator=noise)
    rounded = logits + torch.randn(1000, 2000, generator=noise) * rounding
    drawn, again = (choose(each, [sequence(seed).rows[0] for seed in range(1000)]) for each in (logits, rounded))
    assert sum(one != other for one, other in zip(drawn, again, strict=True)) <= most


def test_filters_of_a_neighbour_change_nothing() -> None:
    logits = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
    alone = [choose(logits[:1], sequence(seed).rows)[0] for seed in range(50)]
    beside = [choose(logits, [*sequence(seed).rows, *sequence(seed, top_k=3).rows])[0] for seed in range(50)]
    assert alone == beside


@pytest.mark.parametrize("filters", [{}, {"top_p": 0.6}, {"min_p": 0.2}, {"typical_p": 0.7}, {"temperature": 3.0}])
@pytest.mark.parametrize("top_k", [1, 5, 40, sampler.FEW])
def test_the_best_few_are_drawn_from_as_if_the_vocabulary_were_sorted(
    top_k: int, filters: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    logits = torch.randn(200, 1000) * 3
    logits[::3, 5:] = -torch.inf  # fewer than there could be

    def drawn() -> list[int]:
        settings: list[Any] = [dict(do_sample=True, top_k=top_k, seed=seed, **filters) for seed in range(200)]
        rows = [row for each in settings for row in running(sampling=Sampling(**each)).rows]
        return choose(logits, [*rows[:150], *sequence(7).rows, *rows[151:]])

    few = drawn()
    monkeypatch.setattr(sampler, "FEW", 0)
    assert few == drawn()


def test_a_tiny_top_p_keeps_the_best_token() -> None:
    assert choose(LOGITS[None], sequence(top_p=1e-9).rows) == [0]


def test_log_probabilities_are_of_the_chosen_tokens_and_only_where_wanted() -> None:
    wanting, other = sequence(1, want_logprobs=True), sequence(2)
    got = logprobs(LOGITS.expand(2, -1), [1, 1], [*wanting.rows, *other.rows])
    assert got[0] == pytest.approx(LOGITS.log_softmax(0)[1].item(), abs=1e-5)
    assert got[1] is None


@given(
    vocabulary=st.sampled_from([5, 127, 128, 129, 1000, 4096, 32001]), count=st.integers(1, 40), seed=st.integers(0, 99)
)
def test_the_best_of_many_are_those_of_a_plain_topk(vocabulary: int, count: int, seed: int) -> None:
    logits = torch.randn(3, vocabulary, generator=torch.Generator().manual_seed(seed))
    count = min(count, vocabulary)
    values, tokens = top(logits, count)
    expected = logits.topk(count, dim=1)
    assert torch.equal(values, expected.values)
    assert torch.equal(logits.gather(1, tokens), expected.values)


@given(rows=st.integers(1, 6), vocabulary=st.sampled_from([5, 128, 256, 300, 32001]), seed=st.integers(0, 99))
def test_the_best_token_is_that_of_a_plain_argmax_the_first_among_equals(rows: int, vocabulary: int, seed: int) -> None:
    logits = torch.randint(
        0, 9 if seed % 2 else 99_999, (rows, vocabulary), generator=torch.Generator().manual_seed(seed)
    )
    assert torch.equal(best(logits.float()), logits.float().argmax(dim=1))
    assert torch.equal(best(logits.bfloat16()), logits.bfloat16().argmax(dim=1))


def test_continuations_are_the_best_log_probabilities_after_what_each_asks_for() -> None:
    logits = torch.randn(2, 300, generator=torch.Generator().manual_seed(1))
    plain = running(max_new_tokens=9, beams=Beams(width=2))
    picky = running(max_new_tokens=9, beams=Beams(width=2), min_new_tokens=3, end_id=int(logits[1].argmax()))
    expected = logits.log_softmax(1)
    expected[1, picky.spec.end_id] = -math.inf  # ruled out, and the others are not made more likely by that
    found = continuations(logits, [plain.rows[0], picky.rows[0]], 4, {})
    for row, got in zip(expected, (found.of(0), found.of(1)), strict=True):
        best = row.topk(4)
        assert [token for token, _ in got] == best.indices.tolist()
        assert [logprob for _, logprob in got] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_continuations_that_are_wanted_come_besides_the_best_ones() -> None:
    logits = torch.randn(2, 300, generator=torch.Generator().manual_seed(1))
    rows = [running(max_new_tokens=9, beams=Beams(width=2)).rows[0] for _ in range(2)]
    worst, best = int(logits[0].argmin()), int(logits[0].argmax())
    found = continuations(logits, rows, 4, {0: [worst, best]})
    first, second = found.of(0), found.of(1)
    assert [token for token, _ in first].count(best) == 1
    assert first[-1] == (worst, pytest.approx(float(logits[0].log_softmax(0)[worst]), abs=1e-5))
    assert (len(first), len(second)) == (5, 4)


def test_while_there_are_too_few_tokens_all_the_end_tokens_are_ruled_out() -> None:
    best = torch.tensor([[0.0, 9.0, 8.0, 1.0], [0.0, 9.0, 8.0, 1.0]])
    several = sequence(min_new_tokens=1, end_id=1, other_ends=(2,))
    one = sequence(min_new_tokens=1, end_id=1)
    assert choose(best, [*several.rows, *one.rows]) == [3, 2]
