"""Texts to sentences and what stands between them: nothing is lost, and ends are where a reader sees them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.messages import Split
from service.worker.segments.segmentation import segmented

# The sentences of a text, which is all of them with single spaces between, or "" in a script without any.
SENTENCES = {
    ("fr", "abbreviations and initials"): ["M. Dupont est là.", "J. P. Martin aussi.", "Le Dr Roux et Mme. Roy vont."],
    ("fr", "a quotation"): ["« Bonjour ! » dit-il.", "Il part.", "« Où vas-tu ? »", "Elle rit."],
    ("fr", "numbers"): ["Il a 3,5 ans et 1.000 euros.", "C'est à 12 h 30.", "Voilà !"],
    ("fr", "ellipsis"): ["Je ne sais pas… peut-être.", "On verra...", "D'accord."],
    ("fr", "addresses"): ["Voir exemple.fr/a.html pour la suite.", "Écrivez à a.b@c.fr."],
    ("en", "titles"): ["Ms. Lee met Dr. Brown on St. James St. at noon.", "They left.", "Mr. X stayed."],
    ("en", "times and countries"): ["He came at 5 a.m. on Monday.", "The U.S. army left.", "Is that so?"],
    ("en", "marks in a row"): ["Really?!", "No way!!!", "Well... maybe.", "(He lied.)", "We saw."],
    ("en", "a quotation"): ["\"We won,\" he said.", "\"It was great.\"", "“Go!” she cried.", "They went."],
    ("en", "ordinals and versions"): ["Version 2.0.1 is out.", "No. 5 is alive.", "See p. 3 of vol. 2."],
    ("en", "small letters go on"): ["i.e. this and e.g. that etc. are one.", "The end."],
    ("ko", "full stops"): ["그는 \"안녕.\"이라고 말했다.", "정말 갔다!!", "값은 3.5달러예요."],
    ("ko", "questions"): ["정말요?", "네, 그래요.", "그건… 몰라요.", "왜?"],
    ("de", "ordinals and abbreviations"): ["Am 3. Mai kam Dr. Müller z. B. nach Bonn.", "Er blieb."],
    ("es", "opening marks"): ["¿Qué tal?", "¡Muy bien!", "El Sr. Ruiz llegó."],
    ("it", "titles"): ["Il sig. Rossi arriva.", "Parla piano."],
    ("pt", "titles"): ["O Sr. Silva chegou.", "Ele está aqui."],
    ("ru", "initials"): ["А. С. Пушкин родился в Москве.", "Он жил там."],
    ("ar", "questions"): ["كيف حالك؟", "أنا بخير."],
    ("hi", "dandas"): ["यह एक वाक्य है।", "यह दूसरा है।"],
    ("el", "semicolons ask"): ["Πώς είσαι;", "Καλά."],
    ("tr", "titles"): ["Dr. Yılmaz geldi.", "Oturdu."],
    ("pl", "abbreviations"): ["To jest np. kot.", "Śpi."],
    ("nl", "abbreviations"): ["Dat is bijv. een kat.", "Hij slaapt."],
    ("vi", "plain"): ["Tôi mệt.", "Bạn đi đâu?"],
    ("xx", "a language without rules"): ["Abc def.", "Ghi jkl?"],
}  # fmt: skip
UNSPACED = {
    "zh": ["你好。", "你在哪里？", "“我在家！”", "好的。"],
    "ja": ["こんにちは。", "元気ですか？", "「はい。」", "行きます。", "「いいえ。」と言った。"],
}


@pytest.mark.parametrize(("language", "of"), SENTENCES)
def test_sentences_end_where_a_reader_sees_it(language: str, of: str) -> None:
    sentences = SENTENCES[language, of]
    found = segmented(" ".join(sentences), language, "sentences")
    assert [segment.text for segment in found.segments] == sentences


@pytest.mark.parametrize("language", UNSPACED)
def test_a_script_without_spaces_has_sentences_too(language: str) -> None:
    found = segmented("".join(UNSPACED[language]), language, "sentences")
    assert [segment.text for segment in found.segments] == UNSPACED[language]
    assert {segment.before for segment in found.segments} == {""}


def test_lines_stay_apart_with_indentation_bullets_and_numbers() -> None:
    text = "# Titre\n\n  - un point. Deux.\r\n  1. Premier\n\t* a) second\n---\n> > cité ?  Oui.\n\n"
    found = segmented(text, "fr", "sentences")
    assert [(segment.before, segment.text) for segment in found.segments] == [
        ("# ", "Titre"),
        ("\n\n  - ", "un point."),
        (" ", "Deux."),
        ("\r\n  1. ", "Premier"),
        ("\n\t* a) ", "second"),
        ("\n---\n> > ", "cité ?"),
        ("  ", "Oui."),
    ]
    assert found.after == "\n\n"


def test_lines_may_be_all_that_is_split_and_nothing_may() -> None:
    text = " Un. Deux.\n\nTrois. "
    assert [each.text for each in segmented(text, "fr", "lines").segments] == ["Un. Deux.", "Trois."]
    (whole,) = segmented(text, "fr", "none").segments
    assert (whole.before, whole.text) == (" ", "Un. Deux.\n\nTrois.")


@pytest.mark.parametrize("text", ["...", " \n ", "1, 2, 3.", "😀 🎉", "- 12\n- 13\n", "?!"])
def test_what_has_no_letter_is_no_sentence(text: str) -> None:
    found = segmented(text, "en", "sentences")
    assert (found.segments, found.after) == ((), text)


@pytest.mark.parametrize("split", ["sentences", "lines", "none"])
@given(text=st.text(alphabet=st.sampled_from("aéB가。…?!.,;:'\"«»„“”()-*#>1 \n\r\t\x85😀"), max_size=60))
def test_nothing_of_a_text_is_lost(split: Split, text: str) -> None:
    for language in ("fr", "de", "ko", "zh"):
        found = segmented(text, language, split)
        assert "".join(each.before + each.text for each in found.segments) + found.after == text
        assert all(each.text == each.text.strip() for each in found.segments)


def test_a_region_does_not_matter() -> None:
    for language in ("pt-BR", "pt_PT", "PT"):
        assert len(segmented("O Sr. Silva chegou. Sim.", language, "sentences").segments) == 2


def test_a_long_text_without_an_end_is_one_sentence() -> None:
    (segment,) = segmented("word " * 20_000, "en", "sentences").segments
    assert segment.text == ("word " * 20_000).strip()


def test_a_language_is_the_same_however_it_is_called() -> None:
    text = "M. Dupont est là. Il dort."
    found = {
        tuple(each.text for each in segmented(text, code, "sentences").segments) for code in ("fr", "fra_Latn", "fr_XX")
    }
    assert found == {("M. Dupont est là.", "Il dort.")}
