from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents.delimited import pieces
from service.documents.document import DocumentError, Piece, Problem
from tests.service.documents.changing import changed


def column(*names: str):
    def found(source: str) -> list[Piece]:
        return pieces(source, names)[0]

    return found


def test_the_column_changes_and_header_delimiter_quotes_and_line_ends_stay() -> None:
    source = 'id;"text";n\r\n1;"dit ""oui""; bon";mot\r\n\r\n2;simple;\r\n3;"deux\nlignes";"y"'
    texts, written = changed(column("text"), source)
    assert texts == ['dit "oui"; bon', "simple", "deux\nlignes"]
    assert written == 'id;"text";n\r\n1;"DIT ""OUI""; BON";mot\r\n\r\n2;SIMPLE;\r\n3;"DEUX\nLIGNES";"y"'


def test_what_was_not_quoted_is_where_it_must_be() -> None:
    assert changed(column("t"), "t,n\nun,1\n", lambda text: 'one, "two"')[1] == 't,n\n"one, ""two""",1\n'
    assert changed(column("t"), 't\tn\nça "va"\t1\n')[1] == 't\tn\nÇA "VA"\t1\n'


def test_a_column_may_be_counted_where_there_is_no_header() -> None:
    assert changed(column("2"), "a,un\nb,deux\n")[1] == "a,UN\nb,DEUX\n"
    assert changed(column("b", "a"), "a,b\nx,y\n")[1] == "a,b\nX,Y\n"


def test_a_row_without_the_column_stays_and_is_told() -> None:
    _, problems = pieces("a,b\nx,y\nz\n", ["b"])
    assert problems == [Problem("row 3, column b", "the row has 1 columns")]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((), "--column says which are to be translated: a, b"),
        (("c",), "there is no column 'c'; there are a, b"),
        (("3",), "there is no column '3'"),
        (("a", "2"), "there is no column '2'"),
    ],
)
def test_a_column_that_is_not_there_is_refused(columns: tuple[str, ...], said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        pieces("a,b\nx,y\n", columns)


@given(st.lists(st.lists(st.text('ab,"\n ', min_size=1), min_size=2, max_size=2), min_size=1))
def test_fields_are_those_of_the_standard_librarys_reader(rows: list[list[str]]) -> None:
    file = io.StringIO()
    csv.writer(file).writerows([["one", "two"], *rows])
    found = pieces(file.getvalue(), ["one", "two"])[0]
    assert [[one.text.text, two.text.text] for one, two in zip(found[::2], found[1::2], strict=True)] == rows
