from __future__ import annotations

import math
import random

import torch
from hypothesis import given
from hypothesis import strategies as st

from service.engine.beams import Beams, Branch
from service.engine.branching import branches
from service.engine.constraints import Phrase
from service.engine.loops import LEAST, LOOK_EVERY, LoopGuard
from service.engine.sampler import continuations
from service.engine.sequence import Sampling, Sequence, SequenceSpec

VOCABULARY = 300


def searching(width: int, totals: list[float], beams: list[list[int]], **fields: object) -> Sequence:
    """In the midst of its search."""
    spec = SequenceSpec(
        **{"id": "", "prompt": [1], "max_new_tokens": 99, "end_id": 2, "beams": Beams(width=width), **fields}  # type: ignore[arg-type]
    )
    sequence = Sequence(spec)
    for row, tokens in zip(sequence.admit(), beams, strict=False):
        row.tokens = list(tokens)
    sequence.searching.totals = totals
    return sequence


def by_hand(logits: torch.Tensor, sequence: Sequence) -> list[Branch]:
    """All that is possible, best first."""
    search = sequence.searching
    rows = sequence.rows[: search.beams]
    found = continuations(logits, rows, VOCABULARY, {})
    possible = search.possible([row.tokens for row in rows], [found.of(row) for row in range(len(rows))])
    return sorted(possible, key=lambda branch: branch.total, reverse=True)[: search.candidates]


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.booleans()), min_size=1, max_size=6), st.integers())
def test_searches_side_by_side_get_the_branches_that_each_gets_alone(
    shapes: list[tuple[int, bool, bool]], seed: int
) -> None:
    chance = random.Random(seed)
    sequences = []
    for width, first, picky in shapes:
        count = 1 if first else width
        totals = sorted((-chance.choice([0.0, 0.5, 1.0, 7.25]) for _ in range(count)), reverse=True)  # with equal ones
        sampling = Sampling(logit_bias=((5, -100.0),)) if picky else Sampling()
        sequences.append(searching(width, totals, [[3]] * count, sampling=sampling))
    rows = [row for each in sequences for row in each.rows[: each.searching.beams]]
    chance.shuffle(rows)
    generator = torch.Generator().manual_seed(seed % 2**32)
    logits = torch.stack([torch.randperm(VOCABULARY, generator=generator) / 10 for _ in rows])  # of a row, none equal
    if len(rows) > 1:
        logits[1] = logits[0]
    logits[chance.randrange(len(rows)), : VOCABULARY - 3] = -math.inf
    found = branches(logits, rows)
    assert set(found) == set(sequences)
    for sequence in sequences:
        places = [rows.index(row) for row in sequence.rows[: sequence.searching.beams]]
        expected = by_hand(logits[places], sequence)
        assert [branch.total for branch in found[sequence]] == [branch.total for branch in expected]
        assert found[sequence] == expected


def test_a_search_that_wants_more_than_the_best_gets_all_that_is_possible() -> None:
    tokens = [7] * (LEAST + LOOK_EVERY - LEAST % LOOK_EVERY)
    looping = searching(2, [0.0, -1.0], [tokens, [*tokens[:-1], 9]], loop_guard=LoopGuard(0))
    constrained = searching(2, [0.0], [[]], phrases=(Phrase((250,), (250,)),))
    logits = -torch.arange(VOCABULARY).float().repeat(3, 1)
    found = branches(logits, [*looping.rows, constrained.rows[0]])
    assert {branch.token for branch in found[looping] if branch.parent == 0} == {2}, "in a loop it may only end"
    assert len([branch for branch in found[looping] if branch.parent == 1]) == looping.searching.candidates
    assert 250 in [branch.token for branch in found[constrained]]
