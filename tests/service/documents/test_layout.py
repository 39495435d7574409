from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents.layout import spread

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1, max_size=9).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_lines_that_are_joined_are_parted_where_they_were(lines: list[str]) -> None:
    assert spread(" ".join(lines), [len(line) for line in lines]) == lines


@given(WORDS, st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_there_are_as_many_lines_as_asked_for_and_no_word_is_lost(text: str, lengths: list[int]) -> None:
    parts = spread(text, lengths)
    assert len(parts) == len(lengths)
    assert " ".join(part for part in parts if part) == text


@pytest.mark.parametrize(
    ("text", "lengths", "parts"),
    [
        ("aaaa bbbb cccc dddd", [10, 10], ["aaaa bbbb", "cccc dddd"]),
        ("aaaa bbbb cccc dddd", [30, 10], ["aaaa bbbb cccc", "dddd"]),
        ("one", [5, 5], ["one", ""]),
        ("今日はいい天気ですね", [5, 5], ["今日はいい", "天気ですね"]),
        ("하나 둘 셋 넷", [4, 3], ["하나 둘", "셋 넷"]),
    ],
)
def test_lines_have_their_share(text: str, lengths: list[int], parts: list[str]) -> None:
    assert spread(text, lengths) == parts


def test_a_tag_is_never_broken_and_has_no_length() -> None:
    text = 'aa <span id="12">bb</span> cc dd'
    assert spread(text, [5, 5], tagged=True) == ['aa <span id="12">bb</span>', "cc dd"]
