from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidRequest, UnknownLanguagePair
from service.gateway.languages import resolve_pair

PAIRS = [("fr", "en"), ("en", "fr"), ("ko", "en")]


@pytest.mark.parametrize(
    ("source", "target", "pair"),
    [
        ("fr", "en", ("fr", "en")),
        (None, "fr", ("en", "fr")),
        ("ko", None, ("ko", "en")),
        ("EN", None, ("en", "fr")),
        ("fr-CA", "en_XX", ("fr", "en")),
        ("ko_Hang", "en-US", ("ko", "en")),
    ],
)
def test_the_one_possible_pair_is_found(source, target, pair):
    assert resolve_pair(PAIRS, source, target, "from and to") == pair


@pytest.mark.parametrize(("source", "target"), [("de", "en"), ("fr", "ko"), ("", "en"), ("fr", "fr")])
def test_an_impossible_pair_is_refused_with_the_available_ones(source, target):
    with pytest.raises(UnknownLanguagePair, match="available: fr-en, en-fr, ko-en"):
        resolve_pair(PAIRS, source, target, "from and to")


def test_an_ambiguous_pair_is_refused_with_the_possible_ones():
    with pytest.raises(InvalidRequest, match="from and to leave more than one language pair: fr-en, ko-en"):
        resolve_pair(PAIRS, None, "en", "from and to")


def test_the_exact_code_decides_between_variants():
    pairs = [("zh-Hans", "en"), ("zh-Hant", "en")]
    assert resolve_pair(pairs, "zh_hant", "en", "from and to") == ("zh-Hant", "en")
    with pytest.raises(InvalidRequest, match="more than one language pair: zh-Hans-en, zh-Hant-en"):
        resolve_pair(pairs, "zh", "en", "from and to")


@given(st.none() | st.text(max_size=8), st.none() | st.text(max_size=8))
def test_whatever_is_asked_the_answer_is_a_pair_or_a_refusal(source, target):
    with suppress(UnknownLanguagePair, InvalidRequest):
        assert resolve_pair(PAIRS, source, target, "from and to") in PAIRS
