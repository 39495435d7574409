from __future__ import annotations

import pytest

from service.documents.document import DocumentError, Problem
from service.documents.jsonlines import pieces
from tests.service.documents.changing import changed


def test_the_field_changes_and_nothing_else() -> None:
    source = '{"id": 1.0, "text" :"un \\"deux\\"", "z":{"text":"intact"}}\r\n\r\n{"text": null}\r\n{"text": "trois"}'
    texts, written = changed(lambda each: pieces(each, ["text"])[0], source)
    assert texts == ['un "deux"', "trois"]
    assert written == source.replace("un", "UN").replace("deux", "DEUX").replace("trois", "TROIS")


def test_a_dot_leads_into_an_object_and_of_two_names_the_last_counts() -> None:
    source = '{"a": {"b": "un", "c": [1, {"b": 2}], "b": "deux"}, "b": "intact"}'
    assert changed(lambda each: pieces(each, ["a.b"])[0], source)[1] == source.replace("deux", "DEUX")


@pytest.mark.parametrize(("line", "written"), [('"\\u00e9"', '"\\u00c9"'), ('"é"', '"É"'), ('"e"', '"E"')])
def test_characters_are_escaped_where_the_line_escapes_them(line: str, written: str) -> None:
    assert changed(lambda each: pieces(each, ["t"])[0], f'{{"t":{line}}}')[1] == f'{{"t":{written}}}'


def test_lines_that_cannot_be_translated_stay_and_are_told() -> None:
    source = '{"text": "un"}\nnot json\n{"a": 3}\n{"text": 4}\n[1]\n'
    found, problems = pieces(source, ["text"])
    assert [piece.text.place for piece in found] == ["line 1, text"]
    assert problems[1:] == [
        Problem("line 3, text", "there is no such field"),
        Problem("line 4, text", "4 is no text"),
        Problem("line 5, text", "there is no such field"),
    ]
    assert problems[0].place == "line 2"
    assert "it is not JSON" in problems[0].reason


def test_a_field_that_is_nowhere_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(DocumentError, match=r"no line has a text in text .*; there are the fields id, body"):
        pieces('{"id": 1, "body": "x"}\n', ["text"])
