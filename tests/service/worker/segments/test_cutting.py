"""Segments that are too long for the model, as pieces that are not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import formats
from models.tokenizer import Tokenizer, train_byte_bpe
from service.worker.segments.cutting import fitting
from service.worker.segments.segmentation import Segment

TEXTS = ["the quick brown fox, who jumps over the lazy dog; then it sleeps: well", "안녕하세요 반갑습니다"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_byte_bpe(TEXTS, 320)


def pieces(tokenizer: Tokenizer, text: str, most: int) -> list[Segment]:
    found = []
    for piece, ids in fitting(Segment("> ", text), tokenizer.encode, tokenizer, most):
        assert ids == tokenizer.encode(piece.text)
        found.append(piece)
    return found


def test_what_fits_is_one_piece(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "the quick  fox", 15) == [Segment("> ", "the quick fox")]


def test_it_is_cut_where_a_clause_ends(tokenizer: Tokenizer) -> None:
    text = TEXTS[0]
    tokens = len(tokenizer.encode(text))
    assert [(piece.before, piece.text) for piece in pieces(tokenizer, text, tokens - 1)] == [
        ("> ", "the quick brown fox, who jumps over the lazy dog; then it sleeps:"),
        (" ", "well"),
    ]
    middle = len(tokenizer.encode("the quick brown fox, who jumps over the lazy dog; then"))
    assert [piece.text for piece in pieces(tokenizer, text, middle)] == [
        "the quick brown fox, who jumps over the lazy dog;",
        "then it sleeps: well",
    ]


def test_without_clauses_it_is_cut_between_words(tokenizer: Tokenizer) -> None:
    found = pieces(tokenizer, "the quick brown fox " * 5, 7)
    assert " ".join(piece.text for piece in found) == ("the quick brown fox " * 5).strip()
    assert all(piece.text.split()[0] in ("the", "quick", "brown", "fox") for piece in found)


def test_a_clause_that_would_leave_most_of_the_room_is_not_where_it_is_cut(tokenizer: Tokenizer) -> None:
    text = "fox, " + "the quick brown dog " * 4
    first, *_ = pieces(tokenizer, text, len(tokenizer.encode("fox, the quick brown dog the")))
    assert first.text == "fox, the quick brown dog the"


@pytest.mark.parametrize("most", [1, 3, 8])
@given(text=st.text(alphabet=st.sampled_from("abz안녕é,;: —😀\ufdfa"), min_size=1, max_size=80))
def test_nothing_is_lost_and_everything_fits(tokenizer: Tokenizer, most: int, text: str) -> None:
    found = pieces(tokenizer, text, most)
    assert "".join(piece.before + piece.text for piece in found).removeprefix("> ") == formats.normalize(text)
    assert all(len(tokenizer.encode(piece.text)) <= most or len(piece.text) == 1 for piece in found)


@pytest.mark.parametrize("text", ["a" * 100_000, "ab " * 33_000, "x, " * 33_000, "😀" * 50_000, ";" * 100_000])
def test_the_longest_text_is_cut_in_a_moment(tokenizer: Tokenizer, text: str) -> None:
    began = time.monotonic()
    found = pieces(tokenizer, text, 200)
    assert sum(len(piece.text) for piece in found) > 60_000 or "😀" in text
    assert time.monotonic() - began < 20, "twice the length would take twice the time, not four times"
