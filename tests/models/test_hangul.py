import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import hangul

# Letters that keyboards type, conjoining ones (first, middle and last), syllables with and without a last letter.
KOREAN = st.text(
    "ㅋㅠㅇㄳㅄㆍ\u3164\u110f\u1172\u110b\u11a8\u11aa\u1112\u119e\u11ab\u1160가각큐 a\u0301ﾡ㈀", max_size=12
)


@pytest.mark.parametrize("text", ["ㅋㅋㅠㅠ", "ㅇㅇ", "ㅎㅎㅎ 휴ㅠㅠ", "아ㅄ", "ㄱㄱㄱ", "배우ㆍ감독", "ㅡㅡ;", "ㄳ"])
def test_letters_stay_as_they_are_typed(text: str) -> None:
    assert hangul.compose(text) == text


@pytest.mark.parametrize("text", ["영화 최고", "값을 읽다", "뷁ㅋㅋ"])
def test_syllables_that_were_taken_apart_are_composed(text: str) -> None:
    assert hangul.compose(unicodedata.normalize("NFD", text)) == text


def test_letters_that_nfkc_has_changed_are_as_typed_again() -> None:
    assert hangul.compose(unicodedata.normalize("NFKC", "ㅋㅋ 재밌다 ㅠㅠ ㄳ ㆍ")) == "ㅋㅋ 재밌다 ㅠㅠ ㄳ ㆍ"


def test_a_syllable_of_letters_that_are_no_longer_used_is_left_whole() -> None:
    assert hangul.compose("\u1112\u119e\u11ab글") == "\u1112\u119e\u11ab글"


def test_what_is_not_korean_is_in_nfkc() -> None:
    assert hangul.compose("ｆｕｌｌ ﬁ ① e\u0301 ㈀") == "full fi 1 é (ㄱ)"


@given(KOREAN | st.text())
def test_conjoining_what_was_composed_gives_what_nfkc_gives(text: str) -> None:
    assert hangul.conjoined(hangul.compose(text)) == unicodedata.normalize("NFKC", text)


@given(KOREAN | st.text())
def test_composing_twice_is_composing_once_and_gives_nfc(text: str) -> None:
    once = hangul.compose(text)
    assert hangul.compose(once) == once
    assert unicodedata.normalize("NFC", once) == once


@given(KOREAN, KOREAN)
def test_what_a_letter_becomes_does_not_depend_on_its_neighbours(first: str, second: str) -> None:
    assert hangul.typed(first + second) == hangul.typed(first) + hangul.typed(second)
    assert len(hangul.typed(first)) == len(first)
