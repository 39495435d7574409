"""Of every format: what is not translated stays, to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents.document import DocumentError
from service.documents.formats import FORMATS, Reading, read
from tests.service.documents.changing import shouted
from tests.service.documents.test_docx import PARTS, archive, parts_of

FILES = {
    "txt": "  Un deux.  \n\n\tTrois\r\nquatre",
    "md": "---\ntitle: x\n---\n# Un *deux*\n\n> trois  \n> quatre [cinq](six)\n",
    "markdown": "un\n==\n",
    "html": "<p>Un <b>deux</b> &eacute; <img alt='trois'>\n quatre",
    "htm": "un<br>deux",
    "srt": "1\r\n00:01:01,000 --> 00:01:02,000\r\nUn\r\ndeux\r\n\r\n2\r\n00:01:03,000 --> 00:01:04,000\r\ntrois.",
    "vtt": "WEBVTT\n\n00:01.000 --> 00:02.000 line:0\n<v Un>deux\n",
    "jsonl": '{"text" : "un \\u00e9", "n": 1.0}\n\n{"text":"deux","text":"trois"}',
    "csv": 'text;n\r\n"un ""deux""";1\r\ntrois;"2"',
    "tsv": "text\tn\nun\t1\n",
}
READING = Reading(columns=("text",))


def test_every_format_but_word_is_tried_here() -> None:
    assert {*FILES, "docx"} == {*FORMATS}


@pytest.mark.parametrize("ending", FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_file_is_the_same_where_nothing_is_translated(ending: str, encoding: str) -> None:
    data = FILES[ending].encode(encoding)
    document = read(f"a.{ending}", data, READING)
    assert document.texts
    for translations in ([None] * len(document.texts), [text.text for text in document.texts]):
        written = document.written(translations)
        assert (written.data, written.problems, written.notes) == (data, (), ())


def test_a_word_document_has_the_same_parts_where_nothing_is_translated() -> None:
    document = read("a.docx", archive(PARTS))
    written = document.written([text.text for text in document.texts])
    assert parts_of(written.data) == PARTS


PARTS_OF_FILES = st.sampled_from(
    [
        *"aé한 \n\t<>&*_[]()`|\\\"',;:-#>!{}1.~",
        *("\r\n", "un ", "<b>", "</b>", "<![x", "<!--", "**", "![x](y)", "[a]", "[a]: b", "&amp;", "-->", "<br>"),
        *("00:00:01,000 --> 00:00:02,000", "{\\an8}", '{"text": "un"}', "<p title='"),
    ]
)


@pytest.mark.parametrize("ending", FILES)
@given(parts=st.lists(PARTS_OF_FILES, max_size=30))
def test_whatever_a_file_holds_it_is_refused_or_the_same_where_nothing_is_translated(
    ending: str, parts: list[str]
) -> None:
    data = "".join(parts).encode()
    try:
        document = read(f"a.{ending}", data, Reading(columns=("1",)))
    except DocumentError:
        return
    assert document.written([text.text for text in document.texts]).data == data
    document.written([shouted(text) for text in document.texts])


def test_one_text_may_be_translated_and_another_left() -> None:
    document = read("A.TXT", b"un\ndeux\n")
    assert document.written(["one", None]).data == b"one\ndeux\n"


@pytest.mark.parametrize("name", ["a.pdf", "a", "docx", ".md"])
def test_a_file_of_no_format_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(DocumentError, match=r"none of the files that can be translated: txt, md, markdown, html"):
        read(name, b"")


@pytest.mark.parametrize("ending", FORMATS)
def test_an_empty_file_has_no_texts(ending: str) -> None:
    if ending == "docx":
        with pytest.raises(DocumentError, match="no Word document"):
            read("a.docx", b"")
    else:
        document = read(f"a.{ending}", b"", READING)
        assert document.texts == ()
        assert document.written([]).data == b""


def test_what_has_no_letters_is_no_text() -> None:
    assert [text.text for text in read("a.txt", "12:30\n...\nun\n😀\n".encode()).texts] == ["un"]


def test_a_translation_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 translations for 2 texts"):
        read("a.txt", b"un\ndeux").written(["one"])


@pytest.mark.parametrize(
    ("name", "data", "count"),
    [("a.txt", b"a\n" * 9, 9), ("a.html", b"<p>a</p>" * 5, 10), ("a.csv", b"x,y\n" * 4, 8), ("a.md", b"a\r\n" * 3, 6)],
)
def test_a_file_of_more_lines_and_tags_than_are_wanted_is_refused(name: str, data: bytes, count: int) -> None:
    columns = ("x", "y") if name == "a.csv" else ()
    read(name, data, Reading(columns=columns, most_marks=count))
    with pytest.raises(DocumentError, match=f"it has {count} lines and tags, the limit is {count - 1}"):
        read(name, data, Reading(columns=columns, most_marks=count - 1))


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(DocumentError, match="nested too deeply"):
        read("a.jsonl", b"[" * 100_000)
