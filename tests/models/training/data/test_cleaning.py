from __future__ import annotations

import pytest

from models.training.data.cleaning import REASONS, Cleaner, script_share
from models.training.data.duplicates import NearDuplicates
from models.training.data.readers import DataError
from models.training.sections import Cleaning

NOTHING = NearDuplicates([])


def reason(rules: Cleaning, texts: dict[str, str], mark: str = "", held_out: NearDuplicates = NOTHING) -> str | None:
    return Cleaner(rules, held_out).reason(texts, mark, apart=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("정말 재미있는 영화였다", None),
        ("좋아요", "min_characters"),
        ("웃기다 ㅋㅋㅋㅋㅋㅋㅋㅋ 정말", "max_repeat"),
        ("굿굿굿굿 굿굿굿굿굿굿굿", "min_distinct"),
        ("이런 나쁜말 은 하지 맙시다", "blocked"),
        ("이런 나1쁜.말 은 하지 맙시다", "blocked"),
        ("이런 \u1109\u1107 영화는 처음", "blocked"),
        ("이런 ㅅㅂ 영화는 처음", "blocked"),
    ],
)
def test_short_repetitive_and_insulting_texts_are_left_out(text, expected):
    rules = Cleaning(min_characters=8, max_repeat=4, min_distinct=0.4, blocked=("나쁜말", "ㅅㅂ", "c++"))
    assert reason(rules, {"text": text}) == expected


def test_nothing_is_left_out_without_a_rule():
    cleaner = Cleaner(Cleaning(), NOTHING)
    assert [cleaner.reason({"text": text}, "", True) for text in ("a", "a", "!!!!!!", "...")] == [None] * 4


def test_a_text_is_left_out_when_fewer_than_half_of_its_letters_are_of_the_script():
    rules = Cleaning(scripts={"ko": "Hangul", "en": "Latin"})
    assert reason(rules, {"ko": "톰은 BBC를 본다", "en": "Tom watches the BBC."}) is None
    assert reason(rules, {"ko": "Tom은 BBC를 watches", "en": "Tom watches the BBC."}) == "scripts"
    assert reason(rules, {"ko": "그렇다", "en": "그렇다"}) == "scripts"
    assert reason(rules, {"ko": "10:30!", "en": "10:30!"}) is None, "no letter is of a wrong script"
    assert reason(rules, {"fr": "日本語"}) is None, "a column without a rule"


@pytest.mark.parametrize(
    ("script", "text", "share"),
    [
        ("Latin", "Ärger naïve ﬁn Ａ", 1.0),
        ("latin", "aя", 0.5),
        ("Cyrillic", "Это мой кот 7", 1.0),
        ("Hangul", "ㅋㅋ 영화 ㅠ", 1.0),
        ("Han", "東京です", 0.5),
        ("Han + Hiragana + Katakana", "東京のタワー is", 0.75),
        ("Greek", "", 1.0),
    ],
)
def test_the_share_of_a_script_is_one_of_letters(script, text, share):
    assert script_share(script)(text) == share


def test_a_script_that_is_none_is_named():
    with pytest.raises(DataError, match=r"cleaning.scripts: 'Korean' is no Unicode script; such are Latin, Hangul"):
        script_share("Korean")


def test_a_translation_of_quite_another_length_is_left_out():
    rules = Cleaning(max_length_ratio=3)
    assert reason(rules, {"fr": "oui oui", "en": "yes"}) is None
    assert reason(rules, {"fr": "oui oui oui", "en": "yes"}) == "max_length_ratio"
    assert reason(rules, {"text": "alone"}) is None


def test_a_row_equal_to_an_earlier_one_is_left_out_whatever_its_case_punctuation_and_column_order():
    cleaner = Cleaner(Cleaning(duplicates=True), NOTHING)
    assert cleaner.reason({"fr": "Salut !", "en": "Hi."}, "", True) is None
    assert cleaner.reason({"en": "hi", "fr": "salut"}, "", True) == "duplicates"
    assert cleaner.reason({"fr": "Hi", "en": "Salut"}, "", True) is None
    assert cleaner.reason({"fr": "Salut", "en": "Hello"}, "", True) is None
    assert cleaner.reason({"text": "Salut"}, "positive", True) is None
    assert cleaner.reason({"text": "salut"}, "negative", True) is None, (
        "the same text with another label is not the same"
    )
    assert cleaner.reason({"text": "salut"}, "negative", True) == "duplicates"
    assert cleaner.reason({"text": "!"}, "", True) is None
    assert cleaner.reason({"text": "?"}, "", True) is None, "signs alone are compared as they are"


def test_a_row_with_a_text_like_a_held_out_one_is_left_out_and_a_pair_counts_as_a_whole():
    held_out = NearDuplicates(["A man sleeps on the bench.", "A man sleeps on the bench. Somebody is awake."])
    assert (
        reason(Cleaning(), {"fr": "Un homme dort", "en": "a man sleeps on the bench"}, "", held_out)
        == "near_duplicates"
    )
    cleaner = Cleaner(Cleaning(), held_out)
    assert cleaner.reason({"text": "A man sleeps on the bench.", "pair": "He dreams."}, "", False) is None
    same = {"text": "A man sleeps on the bench", "pair": "somebody is awake"}
    assert cleaner.reason(same, "", False) == "near_duplicates"


def test_every_rule_of_a_recipe_has_a_reason_of_its_name():
    assert set(Cleaning.model_fields) - {"allowed"} <= set(REASONS)
