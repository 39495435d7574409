from __future__ import annotations

import pytest

from service.documents.document import DocumentError
from service.documents.runs import Runs


def run() -> Runs:
    """`un [deux] !x! trois`"""
    runs = Runs("un [deux] !x! trois")
    runs.said(0, 3)
    runs.opened(3, 4, "a")
    runs.said(4, 8)
    runs.closed(8, 9, "a")
    runs.said(9, 10)
    runs.kept(10, 13)
    runs.said(13, 19)
    runs.finish()
    return runs


def written(translation: str) -> str:
    [piece] = run().found
    return piece.written(translation, lambda start, end: piece.source[start:end])


def test_markup_travels_as_numbered_tags() -> None:
    [piece] = run().found
    assert piece.text.text == 'un <a id="1">deux</a> <img id="2"> trois'
    assert (piece.text.format, piece.text.place) == ("html", "line 1")


def test_tags_may_move_and_are_written_as_they_stood() -> None:
    assert written('<img id="2"> one <a id="1">two</a>') == "!x! one [two]"
    assert written("<img id='2'/><a id='1'>a &lt; b</a>") == "!x![a < b]"


@pytest.mark.parametrize(
    ("translation", "said"),
    [
        ("one two three", "has lost markup"),
        ('one <a id="1">two <img id="2"> three', "has lost markup"),
        ('<img id="2"><img id="2"><a id="1">two</a>', "has markup that the text has not"),
        ('<b id="9">x</b>', "has markup that the text has not"),
        ('two</a><a id="1"><img id="2">', "closes what is not open"),
    ],
)
def test_a_translation_that_does_not_have_the_texts_markup_is_refused(translation: str, said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        written(translation)


def test_markup_around_all_of_a_text_does_not_travel() -> None:
    runs = Runs("[[un]] ")
    runs.opened(0, 1, "b")
    runs.opened(1, 2, "i")
    runs.said(2, 4)
    runs.closed(4, 5, "i")
    runs.closed(5, 6, "b")
    runs.said(6, 7)
    runs.finish()
    [piece] = runs.found
    assert (piece.text.text, piece.text.format, piece.start, piece.end) == ("un", "text", 2, 4)


def test_what_opens_or_closes_alone_is_kept_where_it_is() -> None:
    runs = Runs("un ( deux ) trois")
    runs.said(0, 3)
    runs.opened(3, 4, "b")
    runs.said(4, 10)
    runs.closed(10, 11, "i")
    runs.said(11, 17)
    runs.finish()
    assert runs.found[0].text.text == 'un <img id="1"> deux <img id="2"> trois'


def test_a_paragraph_of_very_many_pieces_of_markup_is_several_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.documents.runs.MOST_ITEMS", 4)
    assert [piece.text.text for piece in run().found] == ['un <a id="1">deux</a>', "trois"]
