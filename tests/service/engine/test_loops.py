"""Outputs that say the same again and again."""

from __future__ import annotations

import pytest

from service.engine.beams import Beams, Hypothesis
from service.engine.loops import LEAST, LONGEST_BLOCK, LOOK_EVERY, REPEATS, LoopGuard
from service.engine.sequence import Sequence, SequenceSpec

TEXT = list(range(100, 140))


@pytest.mark.parametrize("block", [[7], [7, 8], [7, 8, 9], list(range(LONGEST_BLOCK))])
def test_a_block_that_comes_again_and_again_is_a_loop(block: list[int]) -> None:
    repeats = max(REPEATS, -(-LEAST // len(block)))
    guard = LoopGuard.of(TEXT)
    assert guard.sees(TEXT + block * repeats)
    assert guard.sees(block * repeats)
    assert not guard.sees(TEXT + block * (repeats - 1) + block[:-1])
    assert not guard.sees(TEXT + block * repeats + [1])


def test_what_comes_a_few_times_is_none() -> None:
    guard = LoopGuard.of(TEXT)
    assert not guard.sees(TEXT + [7] * (LEAST - 1))
    assert not guard.sees(TEXT + [7, 8, 9, 10, 11, 12] * (REPEATS - 1))
    assert not guard.sees([])


def test_who_repeats_in_the_source_may_repeat_in_the_translation() -> None:
    guard = LoopGuard.of([5, 6, *[9] * 20, 4])
    assert guard.allowed == 20
    assert not guard.sees([7] * 39)
    assert guard.sees([7] * 40)
    assert LoopGuard.of([1, 2, 3, 1, 2, 3, 1, 2]).allowed == 8
    assert LoopGuard.of([1, 2, 3]).allowed == 0


def sequence(most: int = 100, **fields: object) -> Sequence:
    guard = LoopGuard.of(TEXT)
    return Sequence(SequenceSpec(id="s", prompt=TEXT, max_new_tokens=most, end_id=2, loop_guard=guard, **fields))


def test_a_sequence_ends_soon_after_it_has_begun_to_loop() -> None:
    looping = sequence()
    for token in [50, 51, *[7] * 90]:
        if looping.outcome is None:
            looping.accept(token, 1.0)
    assert looping.outcome == "loop"
    assert LEAST + 2 <= len(looping.output) <= LEAST + 2 + LOOK_EVERY


@pytest.mark.parametrize(("last", "most"), [([2], 100), ([], 2 + LEAST)])
def test_a_loop_is_told_of_an_output_that_came_to_its_end_in_it(last: list[int], most: int) -> None:
    looping = sequence(most)
    for token in [50, 51, *[7] * LEAST, *last]:
        looping.accept(token, 1.0)
    assert looping.outcome == "loop"
    searched = sequence(most, beams=Beams(width=2))
    searched.finish([Hypothesis([7] * LEAST + last, -1.0)], 1.0)
    assert searched.outcome == "loop"


def test_without_a_guard_nothing_is_watched() -> None:
    made = Sequence(SequenceSpec(id="s", prompt=TEXT, max_new_tokens=60, end_id=2))
    for _ in range(60):
        made.accept(7, 1.0)
    assert made.outcome == "length"
