from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.worker.segments.capitals import in_capitals, lowered, raised


@pytest.mark.parametrize(
    "sentence",
    ["JE SUIS TRÈS FATIGUÉ.", "AU SECOURS !", "BONJOUR", "«ÇA VA ?»", "IT'S 5 O'CLOCK", "ΚΑΛΗΜΕΡΑ ΣΑΣ", "UNESCO"],
)
def test_a_sentence_in_capitals_is_one(sentence: str) -> None:
    assert in_capitals(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "NASA",
        "OK",
        "I",
        "A. B.",
        "Bonjour",
        "la NASA",
        "12 345",
        "",
        "...",
        "감사합니다",
        "AI 기술",
        "HELLO world",
        "你好 OK STOP",
    ],
)
def test_abbreviations_and_what_has_small_letters_or_none_are_not(sentence: str) -> None:
    assert not in_capitals(sentence)


def test_what_is_kept_does_not_count_and_stays() -> None:
    assert in_capitals("WRITE TO Tom AND 37", ["Tom", "37"])
    assert not in_capitals("WRITE TO Tom AND 37", ["37"])
    assert not in_capitals("Tom", ["Tom"])
    assert lowered("WRITE TO Tom NOW", "en", ["Tom"]) == "Write to Tom now"
    assert raised("Écris à Tom ce soir", ["Tom"]) == "ÉCRIS À Tom CE SOIR"


@pytest.mark.parametrize(
    ("sentence", "language", "read"),
    [
        ("JE SUIS ICI. ET TOI ?", "fr", "Je suis ici. Et toi ?"),
        ("- « ÉCOUTE-MOI ! »", "fr", "- « Écoute-moi ! »"),
        ("I THINK I'M LATE", "en", "I think I'm late"),
        ("IT COSTS $5.50 IN L.A.", "en", "It costs $5.50 in l.a."),
        ("I POMODORI SONO QUI", "it", "I pomodori sono qui"),
    ],
)
def test_it_is_read_as_a_text_would_have_it(sentence: str, language: str, read: str) -> None:
    assert lowered(sentence, language) == read


@given(st.text(), st.sampled_from(["en", "fr"]))
def test_a_text_keeps_its_length(text: str, language: str) -> None:
    assert len(lowered(text, language)) == len(raised(text)) == len(text)


def test_a_letter_that_would_become_two_stays() -> None:
    assert raised("groß") == "GROß"
