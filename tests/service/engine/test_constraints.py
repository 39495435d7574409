"""Beam search with phrases that the results must have."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

import pytest

from service.engine.beams import Beams
from service.engine.constraints import ConstrainedSearch, Phrase
from service.engine.loops import LOOK_EVERY, LoopGuard
from service.engine.sequence import Sequence, SequenceSpec
from tests.models.tiny import CONFIGS, built
from tests.service.engine.driving import arrive, engine_of

END = 0
Table = list[list[float]]


def language(seed: int, size: int) -> Table:
    """The log-probability of each token after each."""
    chance = random.Random(seed)
    weights = [[chance.random() ** 3 for _ in range(size)] for _ in range(size)]
    return [[math.log(weight / sum(row)) for weight in row] for row in weights]


def searched(table: Table, phrases: list[tuple[int, ...]], *, width: int, most: int, **fields: object) -> list:
    """The results of a search; at first the last token of the vocabulary has just been there."""
    search = ConstrainedSearch(
        Beams(width=width, results=width, length_penalty=0.0),
        tuple(Phrase(tokens, tokens) for tokens in phrases),
        begins=True, end_id=END, max_new_tokens=most, **fields,
    )  # fmt: skip
    beams: list[list[int]] = [[]]
    while True:
        rows = []
        for beam, wanted in zip(beams, search.wanted(), strict=True):
            logprobs = table[beam[-1] if beam else -1]
            best = sorted(range(len(logprobs)), key=lambda token: -logprobs[token])[: search.candidates]
            rows.append([(token, logprobs[token]) for token in [*best, *(each for each in wanted if each not in best)]])
        branches = search.advance(beams, list(search.possible(beams, rows)))
        if not branches:
            return search.results(beams)
        beams = [[*beams[branch.parent], branch.token] for branch in branches]


def has(tokens: list[int], phrase: tuple[int, ...]) -> bool:
    return any(tuple(tokens[start : start + len(phrase)]) == phrase for start in range(len(tokens)))


def all_texts(size: int, most: int) -> Iterator[list[int]]:
    for length in range(most):
        for tokens in itertools.product(range(1, size), repeat=length):
            yield [*tokens, END]
    yield from map(list, itertools.product(range(1, size), repeat=most))


def score(table: Table, tokens: list[int]) -> float:
    return sum(table[before][token] for before, token in zip([-1, *tokens], tokens, strict=False))


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_search_finds_the_best_text_that_has_the_phrases(seed: int) -> None:
    table, most = language(seed, 5), 6
    phrases = [(1, 2), (3,)]
    best = max(
        (tokens for tokens in all_texts(5, most) if all(has(tokens, each) for each in phrases)),
        key=lambda tokens: score(table, tokens),
    )
    found = searched(table, phrases, width=400, most=most)[0]
    assert found.score == pytest.approx(score(table, best))
    assert all(has(found.tokens, each) for each in phrases)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("phrases", [[(1,)], [(4, 4)], [(1, 2), (2, 3)], [(3, 1), (3, 1)], [(2,), (1,), (5, 4, 3)]])
def test_every_result_of_a_narrow_search_has_them_too(width: int, phrases: list[tuple[int, ...]]) -> None:
    for seed in range(30):
        best, *_ = searched(language(seed, 7), phrases, width=width, most=20)
        assert all(has(best.tokens, each) for each in phrases), (seed, best)
        assert best.score > -math.inf
        twice = [each for each in phrases if phrases.count(each) == 2]
        for phrase in twice:
            assert sum(tuple(best.tokens[n : n + len(phrase)]) == phrase for n in range(len(best.tokens))) >= 2


def test_a_phrase_that_begins_like_itself_is_not_lost() -> None:
    table = language(1, 4)
    best, *_ = searched(table, [(1, 1, 2)], width=4, most=12)
    assert has(best.tokens, (1, 1, 2))


def test_without_room_for_the_phrases_as_many_are_there_as_fit() -> None:
    found = searched(language(3, 6), [(1, 2, 3), (4, 5)], width=4, most=3)
    assert math.isinf(found[0].score)
    assert has(found[0].tokens, (1, 2, 3)) or has(found[0].tokens, (4, 5))


def test_what_begins_an_output_is_tokenized_otherwise() -> None:
    search = ConstrainedSearch(Beams(width=2), (Phrase((5, 6), (7, 6)),), begins=True, end_id=END, max_new_tokens=9)
    assert search.wanted() == [[7]]
    branches = search.advance([[]], list(search.possible([[]], [[(7, -9.0), (1, -1.0)]])))
    assert [set(tokens) for tokens in search.wanted()] == [{5}, {5, 6}]
    assert [branch.token for branch in branches] == [1, 7]


def test_a_search_with_phrases_runs_beside_others_and_leaves_them_as_they_are() -> None:
    config = CONFIGS["seq2seq-pre-sinusoidal-tied"]
    model = built(config)
    beams = Beams(width=4, results=2)

    def sequences(*names: str) -> list[Sequence]:
        phrases = {"both": (Phrase((9, 11), (9, 11)), Phrase((13,), (13,))), "one": (Phrase((7,), (8,)),)}
        return [
            Sequence(
                SequenceSpec(
                    id=name,
                    prompt=[5, 6, 7 + len(name)],
                    max_new_tokens=12,
                    end_id=config.end_id,
                    beams=beams,
                    phrases=phrases.get(name, ()),
                )
            )
            for name in names
        ]

    def run(*names: str) -> dict[str, list[list[int]]]:
        made = sequences(*names)
        engine = engine_of(model, slots=16, prefill_tokens=64)
        arrive(engine, made)
        return {each.spec.id: [hypothesis.tokens for hypothesis in each.hypotheses] for each in made}

    together = run("none", "both", "one")
    for name in ("none", "both", "one"):
        assert run(name)[name] == together[name]
    assert all(has(tokens, (9, 11)) and has(tokens, (13,)) for tokens in together["both"][:1])
    assert has(together["one"][0], (7,)) or together["one"][0][0] == 8
    assert not has(together["none"][0], (9, 11))


def test_a_beam_in_a_loop_may_only_end() -> None:
    table = [[-20.0] * 4 for _ in range(4)]
    for row in table:
        row[3] = -0.1  # for ever
    found = searched(table, [(1,)], width=4, most=60, guard=LoopGuard(0))
    assert not any(LoopGuard(0).sees(each.tokens[:-LOOK_EVERY]) for each in found)
