"""Bounds that are said once: in words, and as a check that names what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidRequest
from service.messages import Bounds, TranslateRequest, check_bounds, parameters_of
from service.messages.parameters import parameter


@pytest.mark.parametrize(
    ("bounds", "words", "inside", "outside"),
    [
        (Bounds(ge=1), "at least 1", (1, 10**9), (0, -1)),
        (Bounds(gt=0), "more than 0", (1e-9, 5), (0, -1)),
        (Bounds(ge=-2, le=2), "-2 to 2", (-2, 0, 2), (-2.1, 2.1)),
        (Bounds(gt=0, le=1), "more than 0 and at most 1", (0.1, 1), (0, 1.1)),
        (Bounds(ge=0, lt=8), "0 to 7", (0, 7), (-1, 8)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_words_say_is_what_is_checked(
    bounds: Bounds, words: str, inside: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    assert bounds.words() == words
    for value in inside:
        bounds.check("it", value)
    for value in outside:
        with pytest.raises(InvalidRequest, match=f"^it is {value}, expected {words}$"):
            bounds.check("it", value)


@given(value=st.floats(allow_nan=True), ge=st.floats(-9, 0), le=st.floats(0, 9))
def test_the_limit_that_is_told_is_the_one_that_was_crossed(value: float, ge: float, le: float) -> None:
    bounds = Bounds(ge=ge, le=le)
    if ge <= value <= le:
        bounds.check("it", value)
        return
    with pytest.raises(InvalidRequest) as refused:
        bounds.check("it", value)
    assert refused.value.details["limit"] == (ge if value < ge else le)


@dataclass(frozen=True, kw_only=True)
class Inner:
    many: tuple[str, ...] = parameter((), max_length=2, each=Bounds(max_length=3))


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = ""
    count: int | None = parameter(None, "so many", ge=1)
    inner: Inner = Inner()


def test_messages_in_messages_are_checked_and_what_is_left_out_or_no_parameter_is_not() -> None:
    check_bounds(Outer(name="x" * 100, inner=Inner(many=("abc",))))
    for wrong, words in (
        (Outer(count=0), "count is 0, expected at least 1"),
        (Outer(inner=Inner(many=("a", "b", "c"))), "the length of many is 3, expected 0 to 2"),
        (Outer(inner=Inner(many=("a", "abcd"))), r"the length of many\[1\] is 4, expected 0 to 3"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            check_bounds(wrong)


def test_a_request_is_checked_with_its_priority_and_its_decoding() -> None:
    request = TranslateRequest(id="1", text="x", source_language="fr", target_language="en")
    check_bounds(request)
    with pytest.raises(InvalidRequest, match="priority is 11, expected -10 to 10"):
        check_bounds(replace(request, priority=11))
    with pytest.raises(InvalidRequest, match="max_length_ratio is 0, expected more than 0 and at most 100"):
        check_bounds(replace(request, max_length_ratio=0))
    with pytest.raises(InvalidRequest, match="num_beams is 99"):
        check_bounds(replace(request, decoding=replace(request.decoding, num_beams=99)))


def test_parameters_come_in_the_order_of_their_fields() -> None:
    assert list(parameters_of(Outer)) == ["count"]
    assert parameters_of(Outer)["count"].description == "so many"
