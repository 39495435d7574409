"""Each transform against its definition written out token by token, and what holds for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from service.engine import transforms
from service.engine.sampler import adjust, choose
from service.engine.sequence import Sampling, Sequence, SequenceSpec

VOCABULARY = 12
logits_rows = st.lists(
    st.lists(st.floats(-8, 8, width=32), min_size=VOCABULARY, max_size=VOCABULARY), min_size=1, max_size=4
)
tokens = st.lists(st.integers(0, VOCABULARY - 1), max_size=8)
shares = st.floats(0.001, 1.0)


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def sorted_weights(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows).softmax(dim=1).sort(dim=1, descending=True).values


@given(rows=logits_rows, seen=tokens, penalty=st.floats(0.1, 5))
def test_the_repetition_penalty_weakens_what_was_there(
    rows: list[list[float]], seen: list[int], penalty: float
) -> None:
    logits = torch.tensor(rows[:1])
    counts = transforms.count_tokens([seen], logits)
    got = transforms.penalize_repetition(logits, counts, column(penalty))[0].tolist()
    for token, logit in enumerate(rows[0]):
        expected = logit if token not in seen else logit / penalty if logit > 0 else logit * penalty
        assert got[token] == pytest.approx(expected, rel=1e-5)


@given(rows=logits_rows, seen=tokens, presence=st.floats(-2, 2), frequency=st.floats(-2, 2))
def test_presence_counts_once_and_frequency_each_time(
    rows: list[list[float]], seen: list[int], presence: float, frequency: float
) -> None:
    logits = torch.tensor(rows[:1])
    counts = transforms.count_tokens([seen], logits)
    got = transforms.penalize_output(logits, counts, column(presence), column(frequency))[0].tolist()
    for token, logit in enumerate(rows[0]):
        expected = logit - presence * (token in seen) - frequency * seen.count(token)
        assert got[token] == pytest.approx(expected, abs=1e-4)


def test_a_bias_is_added_to_its_own_rows_tokens() -> None:
    got = transforms.add_bias(torch.zeros(2, 4), [((1, 5.0), (3, -2.0)), ((0, 1.5),)])
    assert got.tolist() == [[0, 5, 0, -2], [1.5, 0, 0, 0]]


def test_a_forbidden_token_has_no_probability() -> None:
    got = transforms.forbid(torch.zeros(2, 4), torch.tensor([[1], [3]])).softmax(dim=1)
    assert got[0].tolist() == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    assert got[1, 3] == 0


@given(rows=logits_rows, k=st.integers(1, 20))
def test_top_k_keeps_the_k_best(rows: list[list[float]], k: int) -> None:
    weights = sorted_weights(rows)
    got = transforms.top_k(weights, column(*[k] * len(rows)))
    assert torch.equal(got[:, :k], weights[:, :k])
    assert not got[:, k:].any()


@given(rows=logits_rows, p=shares)
def test_top_p_keeps_the_smallest_set_that_has_the_share(rows: list[list[float]], p: float) -> None:
    for row in transforms.top_p(sorted_weights(rows), column(*[p] * len(rows))).double():
        kept = int((row > 0).sum())
        assert kept >= 1
        assert not row[kept:].any(), "the best ones stay"
        assert row.sum() >= p - 1e-5
        assert kept == 1 or row[: kept - 1].sum() <= p + 1e-5, "one fewer would not do"


@given(rows=logits_rows, p=st.floats(0, 1))
def test_min_p_keeps_what_is_likely_enough_beside_the_best(rows: list[list[float]], p: float) -> None:
    weights = sorted_weights(rows)
    got = transforms.min_p(weights, column(*[p] * len(rows)))
    for row, before in zip(got.tolist(), weights.tolist(), strict=True):
        for after, weight in zip(row, before, strict=True):
            if abs(weight - p * before[0]) > 1e-6:
                assert after == (weight if weight >= p * before[0] else 0)


@given(rows=logits_rows, p=shares)
def test_typical_p_keeps_the_fewest_tokens_of_nearly_expected_surprise(rows: list[list[float]], p: float) -> None:
    weights = sorted_weights(rows)
    got = transforms.typical_p(weights, column(*[p] * len(rows)))
    for row, weight in zip(got.tolist(), weights.double().tolist(), strict=True):
        entropy = -sum(w * math.log(w) for w in weight)
        distance = [abs(-math.log(w) - entropy) for w in weight]
        kept = [token for token, w in enumerate(row) if w > 0]
        assert sum(weight[token] for token in kept) >= p - 1e-5
        farthest = max(kept, key=lambda token: distance[token])
        assert all(distance[token] >= distance[farthest] - 1e-4 for token in range(VOCABULARY) if token not in kept)
        # One fewer would not do; rounding may choose another one among equally distant tokens.
        equals = [weight[token] for token in kept if distance[token] >= distance[farthest] - 1e-4]
        assert len(kept) == 1 or sum(weight[token] for token in kept) - max(equals) <= p + 1e-5


def test_typical_p_may_drop_the_best_token() -> None:
    weights = torch.tensor([[0.4] + [0.06] * 10])
    kept = transforms.typical_p(weights, column(0.5))[0]
    assert kept[0] == 0
    assert (kept > 0).sum() == 9


Filter = Callable[[Tensor, Tensor], Tensor]
FILTERS: list[tuple[Filter, st.SearchStrategy[float]]] = [
    (transforms.top_k, st.integers(1, 20).map(float)),
    (transforms.top_p, shares),
    (transforms.min_p, st.floats(0, 1)),
    (transforms.typical_p, shares),
]


@given(rows=logits_rows, data=st.data())
def test_any_filters_one_after_the_other_leave_something(rows: list[list[float]], data: st.DataObject) -> None:
    weights = sorted_weights(rows)
    for transform, values in FILTERS:
        before = weights
        weights = transform(weights, column(*[data.draw(values) for _ in rows]))
        assert (weights > 0).any(dim=1).all()
        assert ((weights == before) | (weights == 0)).all()


@given(rows=logits_rows, data=st.data())
def test_a_rows_result_depends_on_nothing_around_it(rows: list[list[float]], data: st.DataObject) -> None:
    weights = sorted_weights(rows)
    order = data.draw(st.permutations(range(len(rows))))
    for transform, values in FILTERS:
        settings = column(*[data.draw(values) for _ in rows])
        together = transform(weights, settings)
        assert torch.equal(transform(weights[order], settings[order]), together[order])
        for row in range(len(rows)):
            assert torch.equal(transform(weights[row : row + 1], settings[row : row + 1])[0], together[row])


settings_of_a_request = st.builds(
    Sampling,
    do_sample=st.sampled_from([False, True, True, True, True]),
    temperature=st.sampled_from([0.3, 1.0, 1.7, 1e-300, 1e300]),
    top_k=st.none() | st.integers(1, 15),
    top_p=st.none() | shares,
    min_p=st.none() | st.floats(0, 1),
    typical_p=st.none() | shares,
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.01, 100.0]),
    penalize_prompt=st.booleans(),
    presence_penalty=st.just(0.0) | st.floats(-2, 2),
    frequency_penalty=st.just(0.0) | st.floats(-2, 2),
    logit_bias=st.dictionaries(st.integers(0, VOCABULARY - 1), st.floats(-100, 100), max_size=3).map(
        lambda biases: tuple(biases.items())
    ),
    no_repeat_ngram_size=st.sampled_from([0, 0, 1, 2, 3]),
    seed=st.integers(0, 100),
)
END = 2


@st.composite
def requests(draw: st.DrawFn) -> Callable[[], Sequence]:
    sampling, prompt, output = draw(settings_of_a_request), draw(tokens.filter(bool)), draw(tokens)
    least = draw(st.integers(0, 9))

    def make() -> Sequence:
        made = Sequence(
            SequenceSpec(id="", prompt=prompt, max_new_tokens=20, min_new_tokens=least, end_id=END, sampling=sampling)
        )
        made.output += output
        made.admit()
        return made

    return make


@given(makes=st.lists(requests(), min_size=1, max_size=6), data=st.data())
def test_a_request_gets_the_same_token_in_any_batch(makes: list[Callable[[], Sequence]], data: st.DataObject) -> None:
    logits = torch.tensor(
        data.draw(
            st.lists(
                st.lists(st.floats(-8, 8, width=32), min_size=VOCABULARY, max_size=VOCABULARY),
                min_size=len(makes),
                max_size=len(makes),
            )
        )
    )
    untouched = logits.clone()
    together = choose(logits, [make().rows[0] for make in makes])
    assert torch.equal(logits, untouched), "the logits are still to be reported as they were"
    assert together == [choose(logits[row : row + 1], make().rows)[0] for row, make in enumerate(makes)]
    for token, make in zip(together, makes, strict=True):
        sequence = make()
        assert 0 <= token < VOCABULARY
        assert token != END or len(sequence.output) >= sequence.spec.min_new_tokens


@given(make=requests(), row=st.lists(st.floats(-8, 8, width=32), min_size=VOCABULARY, max_size=VOCABULARY))
def test_all_adjustments_together_are_their_definitions_in_order(
    make: Callable[[], Sequence], row: list[float]
) -> None:
    sequence = make()
    own = sequence.spec.sampling
    seen = sequence.output + (sequence.spec.prompt if own.penalize_prompt else [])
    seen_in_order = (sequence.spec.prompt if own.penalize_prompt else []) + sequence.output
    expected = []
    for token, logit in enumerate(row):
        logit += dict(own.logit_bias).get(token, 0.0)
        if token in seen:
            logit = logit / own.repetition_penalty if logit > 0 else logit * own.repetition_penalty
        logit -= own.presence_penalty * (token in sequence.output)
        logit -= own.frequency_penalty * sequence.output.count(token)
        size = own.no_repeat_ngram_size
        runs = [tuple(seen_in_order[end - size : end]) for end in range(size, len(seen_in_order) + 1)]
        if size and (*seen_in_order[len(seen_in_order) - size + 1 :], token) in runs:
            logit = -math.inf
        if token == END and len(sequence.output) < sequence.spec.min_new_tokens:
            logit = -math.inf
        expected.append(logit)
    assert adjust(torch.tensor([row]), sequence.rows)[0].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_exponential_numbers_are_exponential_and_independent() -> None:
    seeds = torch.tensor([[0], [1], [2**62], [-(2**63)]])
    numbers = transforms.exponential(seeds, torch.arange(100_000))
    assert torch.isfinite(numbers).all()
    assert (numbers > 0).all()
    for quantile in (0.001, 0.1, 0.5, 0.9, 0.999):
        error = 5 * math.sqrt(quantile * (1 - quantile) / 100_000)
        shares = (numbers < -math.log1p(-quantile)).double().mean(dim=1)
        assert (shares - quantile).abs().max() < error
    both = torch.cat([numbers, numbers.roll(1, dims=1)])  # of rows, and of neighbours in a row
    assert (torch.corrcoef(both) - torch.eye(8)).abs().max() < 0.02
    assert torch.equal(transforms.exponential(seeds[1:2], torch.arange(50)), numbers[1:2, :50])
    some = torch.tensor([[7, 99_999, 0], [3, 2, 1]])
    assert torch.equal(transforms.exponential(seeds[:2], some), numbers[:2].gather(1, some))
