import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models import formats
from models.tokenizer import SPECIAL_TOKENS, TokenizerError, train_byte_bpe, train_wordpiece

TEXTS = ["the cat sat", "고양이가 앉았다"] * 3
TRANSLATOR = train_byte_bpe(TEXTS, 300, (*SPECIAL_TOKENS, "<2en>", "<2fr>"), ["<rating:9>"])
CLASSIFIER = train_wordpiece(TEXTS, 80)


def test_a_translation_source_is_the_language_tag_the_text_and_the_end():
    ids = formats.translation_source(TRANSLATOR, "고양이", "en")
    assert ids == [TRANSLATOR.id("<2en>"), *TRANSLATOR.encode("고양이"), TRANSLATOR.id("</s>")]


def test_a_translation_target_is_the_text_and_the_end_without_a_start():
    assert formats.translation_target(TRANSLATOR, "the cat") == [*TRANSLATOR.encode("the cat"), TRANSLATOR.id("</s>")]


def test_a_language_without_a_tag_is_named():
    with pytest.raises(TokenizerError, match="<2de>"):
        formats.translation_source(TRANSLATOR, "the cat", "de")


def test_a_prompt_is_the_start_and_the_text_with_its_control_tokens():
    ids = formats.generation_prompt(TRANSLATOR, "<rating:9>고양이")
    assert ids == [TRANSLATOR.id("<s>"), TRANSLATOR.id("<rating:9>"), *TRANSLATOR.encode("고양이")]


def test_an_empty_prompt_is_the_start_alone():
    assert formats.generation_prompt(TRANSLATOR, "  ") == [TRANSLATOR.id("<s>")]


def test_a_pair_has_two_segments():
    ids, segments = formats.classification_prompt(CLASSIFIER, "the cat", "sat")
    cls, sep = CLASSIFIER.id("[CLS]"), CLASSIFIER.id("[SEP]")
    first, second = CLASSIFIER.encode("the cat"), CLASSIFIER.encode("sat")
    assert ids == [cls, *first, sep, *second, sep]
    assert segments == [0] * (len(first) + 2) + [1] * (len(second) + 1)


def test_a_single_text_has_one_segment():
    ids, segments = formats.classification_prompt(CLASSIFIER, "the cat")
    assert len(segments) == len(ids)
    assert set(segments) == {0}


FORMATS = {
    "source": lambda text: formats.translation_source(TRANSLATOR, text, "en"),
    "target": lambda text: formats.translation_target(TRANSLATOR, text),
    "prompt": lambda text: formats.generation_prompt(TRANSLATOR, text),
    "text and pair": lambda text: formats.classification_prompt(CLASSIFIER, text, text),
}


@pytest.mark.parametrize("ids_of", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    ("text", "otherwise"),
    [
        ("the cat", " ｔｈｅ\u00a0\tcat\n"),
        ("고양이가 앉았다", unicodedata.normalize("NFD", "고양이가\u3000앉았다")),
    ],
)
def test_ways_to_write_the_same_text_give_the_same_ids(ids_of, text: str, otherwise: str):
    assert text != otherwise
    assert ids_of(otherwise) == ids_of(text)
    assert formats.normalize(otherwise) == text


def test_letters_that_stand_alone_stay_as_they_are_typed_and_syllables_are_composed():
    assert formats.normalize(" ㅋㅋㅠㅠ  ㅇㅇ ") == "ㅋㅋㅠㅠ ㅇㅇ"
    assert formats.normalize(unicodedata.normalize("NFD", "재밌다 ㅋㅋ")) == "재밌다 ㅋㅋ"
    assert formats.normalize(unicodedata.normalize("NFKC", "ㅋㅋ ㅠㅠ")) == "ㅋㅋ ㅠㅠ"


def marks_in_a_row(text: str) -> int:
    most = run = 0
    for character in unicodedata.normalize("NFKD", text):
        run = run + 1 if unicodedata.combining(character) else 0
        most = max(most, run)
    return most


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0301\uff9e", "\u0f73\u0327"])
def test_marks_without_end_are_parted_so_that_sorting_them_takes_no_square_of_their_number(marks: str):
    assert marks_in_a_row(formats.normalize("e" + marks * 1000)) <= 3 * formats.MARKS_IN_A_ROW
    few = "e" + marks * 10
    assert formats.normalize(few) == unicodedata.normalize("NFKC", few)


def test_every_mark_of_unicode_is_known():
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.combining(unicodedata.normalize("NFKD", character)[0]):
            assert character in formats._MARKS, f"{ord(character):x}"


@given(st.text() | st.text("aé 고 ᾯ\u0301\u0345"))
@example(unicodedata.normalize("NFKD", "\u1faf") * 50)
@example("<rating:9>" * 50)
def test_a_text_with_too_many_characters_has_too_many_tokens(text: str):
    text = " ".join(text.split())
    tokens = len(formats.translation_source(TRANSLATOR, text, "en"))
    assert len(text) <= formats.most_characters(TRANSLATOR, tokens)


def test_a_word_that_is_one_token_because_nobody_knows_it_is_within_the_bound():
    words = " ".join(["x" * 64] * 10)
    assert len(CLASSIFIER.encode(words)) == 10
    assert len(words) <= formats.most_characters(CLASSIFIER, 10) <= 4 * len(words) + 40


FOREIGN = formats.Format(
    normalized=False,
    words="translate {source} to {target}: {text}",
    before=("<2{target}>",),
    after=("</s>", "<2{source}>"),
    begins=("<2{target}>",),
    languages={"eng": "en", "kor": "ko"},
    names={"eng": "English", "kor": "Korean"},
)


def test_a_translator_of_elsewhere_reads_languages_as_its_format_calls_them():
    tokenizer = train_byte_bpe([], 262, control_tokens=["<2en>", "<2ko>"])
    ids = FOREIGN.source(tokenizer, "  the  cat", "kor", "eng")
    named = [tokenizer.id(token) for token in ("<2ko>", "</s>", "<2en>")]
    assert [ids[0], *ids[-2:]] == named
    assert tokenizer.decode(ids[1:-2]) == "translate English to Korean:   the  cat"
    assert FOREIGN.beginning(tokenizer, "kor", "eng") == named[:1]
    assert FOREIGN.special == 3
    assert FOREIGN.around(tokenizer) == ([], [tokenizer.id("</s>")])


def test_a_pair_may_be_parted_by_other_tokens_than_those_behind_it_and_have_no_segment_of_its_own():
    format = formats.Format(before=("[CLS]",), between=("[SEP]", "[SEP]"), after=("[SEP]",), pair_segment=0)
    ids, segments = format.pair(CLASSIFIER, "the cat", "sat")
    end = CLASSIFIER.id("[SEP]")
    first, second = CLASSIFIER.encode("the cat"), CLASSIFIER.encode("sat")
    assert ids == [CLASSIFIER.id("[CLS]"), *first, end, end, *second, end]
    assert segments == [0] * len(ids)
    assert format.pair(CLASSIFIER, "the cat")[0] == [CLASSIFIER.id("[CLS]"), *first, end]
