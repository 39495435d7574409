from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

import models.training
from models.training.data.blocked import BlockedWords
from models.training.loading import load_recipe

WORDS = ("시발", "씨발", "ㅅㅂ", "새끼", "존나", "병신", "ㅄ", "썅", "Fuck")
BLOCKED = BlockedWords(WORDS, allowed=("시발점", "새끼손가락"))
FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def shipped() -> BlockedWords:
    rules = load_recipe(Path(models.training.__file__).parent / "recipes" / "generator.yaml").cleaning
    return BlockedWords(rules.blocked, rules.allowed)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("form_of_words", FORMS)
def test_a_word_is_found_whichever_unicode_form_it_and_the_text_are_written_in(form: str, form_of_words: str) -> None:
    blocked = BlockedWords([unicodedata.normalize(form_of_words, word) for word in WORDS])
    for word in WORDS:
        assert unicodedata.normalize(form, f"정말 {word} 같은 영화") in blocked


@pytest.mark.parametrize(
    "text",
    [
        "시1발 뭐야", "시.발", "시-@-발것들", "시 발 진짜", "아 시 발", "ㅅ ㅂ 뭐냐", "ㅅ1ㅂ", "ㅅㅅㅂㅂ", "망할ㅅㅂ",
        "씨이발", "씨이이바알", "시바ㄹ", "ㅅㅣ발", "ㅅㅣㅂㅏㄹ", "이 새ㄲㅣ들", "새 끼들", "이새.끼가", "조온나",
        "존ㄴㅏ 웃김", "병!신들",
        "ㅄ들", "쌰ㅇ", "f.u.c.k", "FUCKING", "fuuuck", "ＦＵＣＫ",
    ],
)  # fmt: skip
def test_spellings_that_are_to_pass_a_filter_are_found(text: str) -> None:
    assert text in BLOCKED


def test_letters_that_nfkc_has_made_a_syllable_of_are_found() -> None:
    assert unicodedata.normalize("NFKC", "ㅅㅂㅠㅠ") in BLOCKED


@pytest.mark.parametrize(
    "text",
    [
        "이 영화가 시발점이 되었다", "새끼손가락 걸고 약속", "다시 발견한 명작", "역시 발연기",
        "한고은 씨 발음이 좋다", "합시다", "없습니다",
        "5개 새로 나온", "존 내쉬", "재밌다ㅋㅋㅠㅠ", "ㅇㅅㅇ", "지뢰병 신분으로", "아저씨 바보", "군병 신고",
    ],
)  # fmt: skip
def test_ordinary_words_are_no_insults(text: str) -> None:
    assert text not in BLOCKED


def test_an_allowed_word_excuses_itself_alone() -> None:
    assert BLOCKED.find("시발점은 좋았는데 시1발 결말이") == "시1발"


def test_nothing_is_blocked_without_words() -> None:
    assert "시발" not in BlockedWords([])
    assert "시발" not in BlockedWords([""])


@pytest.mark.parametrize(
    "text",
    [
        "영화가 ᄇᄉ 같다", "ᄌᄅ도 풍년", "감독 ᄉᄁ", "ᄌᄂ 재밌음", "아 ㅆ ㅂ 뭐야", "연출이 ㅄ같다",
        "이새낀 뭐야", "시1부럴", "존!나 재밌다",
        "ㅈ같네 진짜", "개.쓰레기 영화", "쌍.년이네",
    ],
)  # fmt: skip
def test_the_generators_list_has_the_spellings_of_its_reviews(text: str) -> None:
    assert text in shipped()


@pytest.mark.parametrize(
    "text",
    [
        "한국 영화의 시발점", "어느 영화에도 뒤지지 않는다", "삼시세끼 밥 먹듯", "전염병이 퍼진 도시",
        "두고두고 곱씹어 보게 된다", "가족같은 사람들",
        "번개같은 액션", "에밀 졸라의 소설", "고르곤졸라 피자", "다시 바라보게 된다", "김재원씨 불쌍해요",
        "아저씨입니다", "다시바로 보고 싶다",
        "메갈로돈이 나온다", "껌 좀 씹는 언니",
    ],
)  # fmt: skip
def test_the_generators_list_spares_ordinary_words(text: str) -> None:
    assert text not in shipped()
