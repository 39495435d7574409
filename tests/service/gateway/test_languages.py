from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidRequest, UnknownLanguagePair
from service.gateway.detection import LanguageScore
from service.gateway.languages import MANY, SURE, Choice, detected_pair, is_auto, possible_languages, resolve_pair

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
        ("fra", "eng", ("fr", "en")),
        ("fre", "English", ("fr", "en")),
        ("fra_Latn", "eng_Latn", ("fr", "en")),
        ("KOREAN", None, ("ko", "en")),
        (" French ", "en", ("fr", "en")),
    ],
)
def test_the_one_possible_pair_is_found(source, target, pair):
    assert resolve_pair(PAIRS, source, target, "from and to") == pair


@pytest.mark.parametrize(
    ("source", "target"), [("de", "en"), ("fr", "ko"), ("", "en"), ("fr", "fr"), ("Klingon", "en"), ("fr", "auto")]
)
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


def test_codes_of_the_model_are_understood_as_those_of_the_client_are():
    pairs = [("fra_Latn", "eng_Latn"), ("ko_KR", "en_XX")]
    assert resolve_pair(pairs, "fr", "en", "from and to") == ("fra_Latn", "eng_Latn")
    assert resolve_pair(pairs, "Korean", None, "from and to") == ("ko_KR", "en_XX")


def test_a_variant_is_known_by_any_of_its_names():
    pairs = [("zh-Hans", "en"), ("zh-Hant", "en")]
    for asked in ("zho_Hant", "zh_TW", "zh-HK", "cmn-hant"):
        assert resolve_pair(pairs, asked, "en", "from and to") == ("zh-Hant", "en")


def test_a_variant_of_one_language_is_found_whatever_is_said_of_the_other():
    pairs = [("pt-BR", "en"), ("pt-PT", "en")]
    assert resolve_pair(pairs, "pt_br", "en-US", "from and to") == ("pt-BR", "en")


def ranked(*languages: str, score: float = 0.95) -> list[LanguageScore]:
    return [LanguageScore(language, score if not index else 0.01) for index, language in enumerate(languages)]


@pytest.mark.parametrize(
    ("target", "languages"),
    [(None, ["fr", "en", "ko"]), ("en", ["fr", "ko", "en"]), ("French", ["en", "fr"])],
)
def test_a_text_may_be_in_any_source_of_its_target_and_in_the_target_itself(target, languages):
    assert possible_languages(PAIRS, target) == languages


def test_a_target_that_no_pair_has_is_refused_before_anything_is_detected():
    with pytest.raises(UnknownLanguagePair, match="no translation for auto-de; available: fr-en, en-fr, ko-en"):
        possible_languages(PAIRS, "de")


def test_a_detected_language_is_the_source():
    assert detected_pair(PAIRS, ranked("ko", "fr", "en"), "en", "from and to") == ("ko", "en")
    assert detected_pair(PAIRS, ranked("en", "fr", "ko"), None, "from and to") == ("en", "fr")


def test_a_text_that_surely_is_in_its_target_language_stays_in_it():
    assert detected_pair(PAIRS, ranked("en", "fr", "ko"), "English", "from and to") == ("en", "en")


def test_a_text_that_may_be_in_its_target_language_is_translated_from_the_next_likely_one():
    ranking = ranked("en", "ko", "fr", score=SURE - 0.01)
    assert detected_pair(PAIRS, ranking, "en", "from and to") == ("ko", "en")


def test_a_model_that_rewrites_a_language_in_itself_is_asked_to():
    assert detected_pair([*PAIRS, ("en", "en")], ranked("en", "fr"), "en", "from and to") == ("en", "en")
    assert possible_languages([("en", "en"), ("fr", "en")], "en") == ["en", "fr"]


def test_a_detected_language_with_several_targets_leaves_the_target_to_say():
    pairs = [("en", "fr"), ("en", "ko")]
    with pytest.raises(InvalidRequest, match="from and to leave more than one language pair: en-fr, en-ko"):
        detected_pair(pairs, ranked("en"), None, "from and to")


@pytest.mark.parametrize("asked", ["auto", "AUTO", " Auto "])
def test_auto_is_understood_in_any_case(asked):
    assert is_auto(asked)
    assert not is_auto("fr")
    assert not is_auto(None)


@given(st.none() | st.text(max_size=8), st.none() | st.text(max_size=8))
def test_whatever_is_asked_the_answer_is_a_pair_or_a_refusal(source, target):
    with suppress(UnknownLanguagePair, InvalidRequest):
        assert resolve_pair(PAIRS, source, target, "from and to") in PAIRS


def test_a_choice_says_the_pair_of_each_text_found_out_or_not():
    said = Choice("fr", "en", "from and to")
    assert (said.possible(PAIRS), said.of(PAIRS, (), 2)) == (None, [("fr", "en")] * 2)
    auto = Choice("auto", "en", "from and to")
    assert auto.possible(PAIRS) == ["fr", "ko", "en"]
    rankings = [[LanguageScore("ko", 0.9), LanguageScore("fr", 0.1)], [LanguageScore("en", 1.0)]]
    assert auto.of(PAIRS, rankings, 2) == [("ko", "en"), ("en", "en")]
    with pytest.raises(InvalidRequest, match="from and to leave more than one"):
        Choice(None, "en", "from and to").of(PAIRS, (), 1)


def test_of_thousands_of_pairs_the_right_one_is_found_and_not_all_are_told() -> None:
    codes = ["eng_Latn", "kor_Hang", "zho_Hans", "zho_Hant", "fra_Latn", *(f"{each}aa_Latn" for each in "bcdghjklm")]
    pairs = tuple(itertools.permutations(codes, 2))
    assert len(pairs) > MANY
    for one, other in (("en", "ko"), ("English", "kor_Hang"), ("zh-TW", "fr"), ("zho_Hans", "eng_Latn")):
        few = [pair for pair in pairs if {*pair} <= {"eng_Latn", "kor_Hang", "zho_Hans", "zho_Hant", "fra_Latn"}]
        assert resolve_pair(pairs, one, other, "x") == resolve_pair(few, one, other, "x")
    assert possible_languages(pairs, "fr") == possible_languages(list(pairs), "fr")
    with pytest.raises(UnknownLanguagePair, match=r"no translation for ja-en; available: .* and \d+ more$") as raised:
        resolve_pair(pairs, "ja", "en", "x")
    assert len(raised.value.details["available"]) == MANY
