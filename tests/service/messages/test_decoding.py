"""The decoding parameters: what goes together, and what each may be."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from service.errors import InvalidRequest
from service.messages import Decoding, check_bounds, parameters_of
from service.messages.decoding import FILTERS


def test_every_field_is_a_parameter_with_bounds_that_its_default_keeps() -> None:
    assert list(parameters_of(Decoding)) == [field.name for field in fields(Decoding)]
    check_bounds(Decoding())


@pytest.mark.parametrize(
    ("asked", "message", "limit"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0, expected at least 1", 1),
        ({"num_beams": 17}, "num_beams is 17, expected 1 to 16", 16),
        ({"num_beams": 0}, "num_beams is 0, expected 1 to 16", 1),
        ({"num_return_sequences": 0}, "num_return_sequences is 0, expected 1 to 16", 1),
        ({"num_return_sequences": 17, "do_sample": True}, "num_return_sequences is 17, expected 1 to 16", 16),
        ({"temperature": 0}, "temperature is 0, expected more than 0", 0),
        ({"top_p": 1.5}, "top_p is 1.5, expected more than 0 and at most 1", 1),
        ({"top_p": math.nan}, "top_p is nan, expected more than 0 and at most 1", 1),
        ({"top_k": 2**31}, "top_k is 2147483648, expected 1 to 2147483647", 2**31 - 1),
        ({"seed": -1}, "seed is -1, expected 0 to 9223372036854775807", 0),
        ({"stop": ("a", "")}, "the length of stop[1] is 0, expected 1 to 256", 1),
        ({"stop": ("a",) * 17}, "the length of stop is 17, expected 0 to 16", 16),
        ({"logit_bias": ((7, -101.0),)}, "logit_bias[7] is -101.0, expected -100 to 100", -100),
    ],
)
def test_what_is_outside_its_bounds_is_refused_by_name_with_value_and_limit(
    asked: dict, message: str, limit: float
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_bounds(Decoding(**asked))
    assert refused.value.message == message
    assert refused.value.details["parameter"] == next(iter(asked))
    assert refused.value.details["limit"] == limit


def test_each_filter_has_the_value_that_keeps_everything() -> None:
    assert FILTERS == {"top_p": 1, "top_k": None, "min_p": 0, "typical_p": 1}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"num_beams": 4, "num_return_sequences": 4, "min_new_tokens": 3, "logit_bias": ((1, 1.0),)},
        {"do_sample": True, "num_return_sequences": 16, "stop": (".",), "top_n_tokens": 2},
        {"stop": (".",), "top_n_tokens": 2, "length_penalty": 0.5, "early_stopping": True},
    ],
)
def test_settings_that_go_together_are_taken(asked: dict) -> None:
    Decoding(**asked).check_results(slots=4)


@pytest.mark.parametrize(
    ("asked", "parameter", "limit"),
    [
        ({"num_beams": 5}, "num_beams", 4),
        ({"num_return_sequences": 2}, "num_return_sequences", 1),
        ({"num_return_sequences": 3, "num_beams": 2}, "num_return_sequences", 2),
    ],
)
def test_a_count_that_cannot_be_is_refused_with_its_limit(asked: dict, parameter: str, limit: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Decoding(**asked).check_results(slots=4)
    assert (refused.value.details["parameter"], refused.value.details["limit"]) == (parameter, limit)
    assert str(asked[parameter]) in refused.value.message
    assert str(limit) in refused.value.message


@pytest.mark.parametrize(
    ("asked", "word"), [({"do_sample": True}, "sampling"), ({"stop": (".",)}, "stop"), ({"top_n_tokens": 1}, "top_n")]
)
def test_what_no_beam_search_can_do_is_refused_by_name(asked: dict, word: str) -> None:
    with pytest.raises(InvalidRequest, match=f"num_beams is 2, which does not go with {word}"):
        Decoding(num_beams=2, **asked).check_results(slots=4)
