"""What a sequence tells of itself at its end: how far it came, and how long each part of that took."""

from __future__ import annotations

import pytest

from service.engine.beams import Beams, Hypothesis
from service.engine.sequence import Row, Sampling, Sequence, SequenceSpec
from service.engine.stats import Outcome, RequestStats


def sequence(**fields: object) -> Sequence:
    return Sequence(SequenceSpec(**{"id": "s", "prompt": [5, 6, 7], "max_new_tokens": 3, "arrived": 10.0, **fields}))


def running(**fields: object) -> Sequence:
    """Its prompt is read; it has started half a second after it came."""
    made = sequence(**fields)
    made.admit()
    made.started, made.read, made.prefilled = 10.5, 3, 3
    return made


def test_an_answered_request_tells_when_it_started_when_each_token_came_and_when_it_ended() -> None:
    made = running()
    for token, now in ((8, 11.0), (9, 11.25), (8, 11.75)):
        made.accept(token, now)
    assert made.stats(12.0) == RequestStats(
        outcome="length",
        stage="finished",
        prompt_tokens=3,
        generated_tokens=3,
        queue_s=0.5,
        first_token_s=1.0,
        total_s=2.0,
        inter_token_s=(0.25, 0.5),
    )


@pytest.mark.parametrize("outcome", ["cancelled", "deadline", "error"])
def test_one_that_never_started_has_no_time_but_that_which_it_waited(outcome: Outcome) -> None:
    made = sequence()
    made.outcome = outcome
    told = made.stats(10.25)
    assert (told.outcome, told.stage, told.total_s) == (outcome, "waiting", 0.25)
    assert (told.queue_s, told.first_token_s, told.inter_token_s) == (None, None, ())


def test_one_that_is_given_up_on_the_way_was_running() -> None:
    made = running()
    made.accept(8, 11.0)
    made.outcome = "cancelled"
    told = made.stats(12.0)
    assert (told.stage, told.generated_tokens, told.queue_s, told.first_token_s) == ("running", 1, 0.5, 1.0)


def test_the_end_token_comes_before_the_watch_and_the_watch_before_the_length() -> None:
    def ended(token: int) -> Outcome | None:
        made = running(end_id=2, max_new_tokens=1, watch=lambda token: token in (2, 8))
        made.accept(token, 11.0)
        return made.outcome

    assert [ended(token) for token in (2, 8, 9)] == ["eos_token", "stop_sequence", "length"]


@pytest.mark.parametrize(("tokens", "outcome"), [([8, 2], "eos_token"), ([8, 9], "length"), ([], "length")])
def test_a_beam_search_ends_as_its_best_result_does(tokens: list[int], outcome: Outcome) -> None:
    made = running(end_id=2, beams=Beams(width=2, results=2))
    made.finish([Hypothesis(tokens, -0.5), Hypothesis([9, 2], -1.0)], 12.0)
    assert (made.output, made.outcome, made.token_times) == (tokens, outcome, [12.0])
    assert made.stats(12.0).inter_token_s == ()


def test_a_slot_holds_what_was_read_of_the_prompt_and_then_all_tokens_but_the_newest() -> None:
    made = sequence(beams=Beams(width=2))
    made.prefilled = 3
    first, second = made.admit()
    assert isinstance(first, Row)
    made.read = 2
    assert (made.ready, first.filled, second.filled) == (False, 2, 2)
    made.read = 3
    assert (made.ready, first.filled) == (True, 3)
    first.tokens += [8, 9]
    assert (first.filled, first.position, second.filled) == (4, 4, 3)


def test_only_a_request_that_asks_for_nothing_more_is_plain() -> None:
    assert sequence().plain
    assert not sequence(min_new_tokens=1).plain
    for asked in (
        {"do_sample": True}, {"repetition_penalty": 1.1}, {"presence_penalty": 0.1}, {"frequency_penalty": 0.1},
        {"no_repeat_ngram_size": 2}, {"logit_bias": ((1, 1.0),)},
    ):  # fmt: skip
        assert not sequence(sampling=Sampling(**asked)).plain, asked


def test_any_of_its_end_tokens_ends_a_sequence() -> None:
    for end in (2, 7, 9):
        made = running(end_id=2, other_ends=(7, 9), max_new_tokens=5)
        made.accept(5, now=1.0)
        assert made.outcome is None
        made.accept(end, now=2.0)
        assert made.outcome == "eos_token"
