"""How long an answer may become, which beams and which layer: the checks between a request and the engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.sequence import Sampling
from service.errors import InputTooLong, InvalidRequest
from service.messages import Decoding, TranslateRequest
from service.worker.decoding import Lengths, align_layer_of, beams_of, lengths_of, sampling_of, within_tokens

sizes = st.integers(min_value=1, max_value=300)
ratios = st.none() | st.floats(min_value=0, max_value=5)


def translate(**fields: object) -> TranslateRequest:
    return TranslateRequest(id="t", text="x", source_language="fr", target_language="en", **fields)


def test_all_the_room_is_taken_unless_less_is_asked_for() -> None:
    assert lengths_of(Decoding(), 20) == Lengths(0, 20)
    assert lengths_of(Decoding(min_new_tokens=3, max_new_tokens=5), 20) == Lengths(3, 5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"max_new_tokens": 21}, "max_new_tokens is 21, the limit after a target_prefix of 4 tokens is 20"),
        ({"min_new_tokens": 21}, "min_new_tokens is 21, expected 0 to 20"),
        ({"min_new_tokens": -1}, "min_new_tokens is -1, expected 0 to 20"),
    ],
)
def test_more_than_there_is_room_for_is_refused(asked: dict, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        lengths_of(Decoding(**asked), 20, " after a target_prefix of 4 tokens")


def test_ratios_are_of_the_source_and_the_stricter_limit_counts() -> None:
    assert Lengths(0, 40).within_ratios(10, 0.55, 1.25) == Lengths(6, 12)
    assert Lengths(8, 9).within_ratios(10, 0.55, 1.25) == Lengths(8, 9)
    assert Lengths(0, 40).within_ratios(10, 1.1, 1.1) == Lengths(11, 11)
    assert Lengths(0, 40).within_ratios(2, None, 0.1) == Lengths(0, 1)
    assert Lengths(0, 40).within_ratios(2, 0, None) == Lengths(0, 40)


@pytest.mark.parametrize(
    ("least", "most", "message"),
    [
        (5, None, "for 10 source tokens, min_length_ratio and .* at least 50 .* allow 40"),
        (2, 1, "at least 20 new ones, .* allow 10"),
    ],
)
def test_ratios_that_leave_no_length_are_refused(least: float | None, most: float | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Lengths(0, 40).within_ratios(10, least, most)


@given(source=sizes, own=st.tuples(sizes, sizes).map(sorted), least=ratios, most=ratios)
def test_a_length_within_ratios_keeps_to_all_four_limits(source, own, least, most) -> None:
    def fits(length: int) -> bool:
        return (least is None or length >= least * source) and (most is None or length <= max(1, most * source))

    try:
        lengths = Lengths(*own).within_ratios(source, least, most)
    except InvalidRequest:
        assert not any(fits(length) for length in range(own[0], own[1] + 1)), "it is refused only where none is left"
        return
    assert own[0] <= lengths.least <= lengths.most <= own[1]
    assert least is None or lengths.least >= least * source - 1e-3
    assert most is None or lengths.most <= max(1, most * source + 1e-3)


def test_beams_are_as_the_request_has_them() -> None:
    assert beams_of(Decoding()) is None
    asked = Decoding(num_beams=4, num_return_sequences=2, length_penalty=0.5, early_stopping="never")
    beams = beams_of(asked)
    assert beams is not None
    assert (beams.width, beams.results, beams.length_penalty, beams.early_stopping) == (4, 2, 0.5, "never")


def test_repeated_ngrams_are_kept_out_of_greedy_decoding_too() -> None:
    assert sampling_of(Decoding(no_repeat_ngram_size=3), vocabulary=10, penalize_prompt=False) == Sampling(
        no_repeat_ngram_size=3
    )


def test_a_layer_is_looked_at_only_when_asked_for() -> None:
    assert align_layer_of(translate(), 3) is None
    assert align_layer_of(translate(return_alignment=True), 3) == 2, "the last one"
    assert align_layer_of(translate(return_alignment=True, alignment_layer=1), 3) == 1
    with pytest.raises(InvalidRequest, match="alignment_layer is 3, expected 0 to 2"):
        align_layer_of(translate(return_alignment=True, alignment_layer=3), 3)
    with pytest.raises(InvalidRequest, match="does not attend"):
        align_layer_of(translate(return_alignment=True), 0)


def test_too_many_tokens_are_told_by_name() -> None:
    within_tokens("target_prefix", [1, 2], 2)
    with pytest.raises(InputTooLong, match="target_prefix has 3 tokens, the limit is 2"):
        within_tokens("target_prefix", [1, 2, 3], 2)
