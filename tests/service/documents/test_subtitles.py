from __future__ import annotations

from service.documents.document import Source
from service.documents.subtitles import pieces
from tests.service.documents.changing import changed


def cue(number: int, times: str, *lines: str) -> str:
    return "\n".join([str(number), times, *lines, "", ""])


FIRST = "00:00:01,000 --> 00:00:02,000"
SECOND = "00:00:02,100 --> 00:00:04,000"
LATER = "00:01:02,100 --> 00:01:04,000"


def test_a_sentence_over_several_cues_is_one_text_and_laid_out_over_them_again() -> None:
    source = cue(1, FIRST, "Bonjour, je suis", "très content") + cue(2, SECOND, "de vous voir.", "Et vous ?")
    texts, written = changed(
        pieces, source, lambda text: "Hello, I am very happy to see you all here." if "voir" in text.text else "You?"
    )
    assert texts == ["Bonjour, je suis très content de vous voir.", "Et vous ?"]
    assert written == cue(1, FIRST, "Hello, I am very", "happy to see") + cue(2, SECOND, "you all here.", "You?")


def test_numbers_times_tags_and_line_ends_stay() -> None:
    source = (cue(7, FIRST + " X1:1", "{\\an8}Un <i>deux</i> trois") + "\n" + cue(8, SECOND, "Quatre.")).replace(
        "\n", "\r\n"
    )
    assert changed(pieces, source)[1] == source.replace("Un", "UN").replace("deux", "DEUX").replace(
        "trois", "TROIS"
    ).replace("Quatre", "QUATRE")


def test_a_sentence_ends_at_a_speaker_and_at_a_pause() -> None:
    assert changed(pieces, cue(1, FIRST, "- Oui", "- Non"))[0] == ["- Oui", "- Non"]
    assert changed(pieces, cue(1, FIRST, "Oui mais") + cue(2, LATER, "voilà"))[0] == ["Oui mais", "voilà"]
    assert changed(pieces, cue(1, FIRST, "Et puis...") + cue(2, SECOND, "...voilà"))[0] == ["Et puis... ...voilà"]


def test_fewer_words_than_lines_leave_no_empty_line_in_a_cue() -> None:
    source = cue(1, FIRST, "un", "deux") + cue(2, SECOND, "trois.")
    assert changed(pieces, source, lambda text: "one")[1] == cue(1, FIRST, "one") + cue(2, SECOND, "")


def test_webvtt_has_notes_styles_and_names_besides() -> None:
    before = "WEBVTT un\n\nSTYLE\n::cue {}\n\nNOTE\nun mot\n\nintro\n"
    source = before + "01:00.000 --> 01:02.000 align:left\n<v Bob>un &amp; deux\n"
    assert changed(pieces, source)[1] == source.replace("un &amp; deux", "UN &amp; DEUX")


def test_a_problem_is_placed_by_its_cue() -> None:
    source = cue(1, FIRST, "Un.") + cue(2, SECOND, "Deux", "trois.")
    assert [piece.text.place for piece in Source(source, pieces(source)).pieces] == ["cue 1", "cue 2"]
