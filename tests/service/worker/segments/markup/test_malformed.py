"""Markup that cannot be read is refused, with the place and a quotation of what is wrong."""

from __future__ import annotations

import time

import pytest

from service.errors import InvalidRequest
from service.worker.segments.markup.document import parsed

HTML = {
    "<p>a</b></p>": (4, "</b> closes nothing, <p> is open"),
    "a</p>": (1, "</p> closes nothing"),
    "<b><i>a</b></i>": (7, "</b> closes nothing, <i> is open"),
    "<p>a <b>b": (5, "<b> is never closed"),
    "<div><p>a": (0, "<div> is never closed"),
    "<div><span>a</div>": (12, "</div> closes nothing, <span> is open"),
    "a <!-- b": (2, "a comment that is never closed"),
    '<a href="x>b</a>': (8, "a quotation mark that is never closed"),
    "<a href='x>b</a>": (8, "a quotation mark that is never closed"),
    '<a href="x>b</a> <b class="y">c</b>': (0, "a tag that is never closed by >"),
    "a <b": (2, "a tag that is never closed by >"),
    "a <b c=d <i>e</i>": (2, "a tag that is never closed by >"),
    "a </ b>": (2, "a closing tag without a name or without its >"),
    "a </b c": (2, "a closing tag without a name or without its >"),
    "<script>1": (0, "<script> is never closed"),
    "<!DOCTYPE html": (0, "a declaration that is never closed"),
    "<?php echo 1": (0, "an instruction that is never closed"),
    "<% a": (0, "an instruction that is never closed"),
    "<br></br>": (4, "</br> closes nothing"),
    "<img></img>": (5, "</img> closes nothing"),
    "<table><tr><td><b>a</table>": (19, "</table> closes nothing, <b> is open"),
    "<ul><li>a</ol>": (9, "</ol> closes nothing, <li> is open"),
}
XML = {
    "<a>b</c>": (4, "mismatched tag, <a> is open"),
    "<a><b>c</a>": (7, "mismatched tag, <b> is open"),
    "<a>b": (0, "<a> is never closed"),
    "a</b>": (1, "mismatched tag"),
    "a & b": (3, "not well-formed (invalid token)"),
    "a < b": (3, "not well-formed (invalid token)"),
    "<a b=c/>": (5, "not well-formed (invalid token)"),
    '<a b="<"/>': (6, "not well-formed (invalid token)"),
    '<a b="1" b="2"/>': (9, "duplicate attribute"),
    "<!-- a": (0, "unclosed token"),
    "<r>é<br></r>": (8, "mismatched tag, <br> is open"),
    '<?xml version="1.0"?><a/><b/>': (25, "junk after document element"),
    "a\x00b": (1, "not well-formed (invalid token)"),
}


@pytest.mark.parametrize("text", HTML)
def test_malformed_html_is_said(text: str) -> None:
    position, why = HTML[text]
    with pytest.raises(InvalidRequest) as error:
        parsed(text, "html", "fr")
    assert error.value.message == (
        f"malformed HTML at character {position} (line 1): {why}: {text[position : position + 40]!r}"
    )
    assert error.value.details == {"position": position}


@pytest.mark.parametrize("text", XML)
def test_malformed_xml_is_said(text: str) -> None:
    position, why = XML[text]
    with pytest.raises(InvalidRequest) as error:
        parsed(text, "xml", "fr")
    assert error.value.message == (
        f"malformed XML at character {position} (line 1): {why}: {text[position : position + 40]!r}"
    )


def test_half_of_a_character_is_malformed() -> None:
    with pytest.raises(InvalidRequest, match="half of a character"):
        parsed("<a>\ud800</a>", "xml", "fr")


def test_the_line_is_said_and_the_quotation_is_short() -> None:
    with pytest.raises(InvalidRequest) as error:
        parsed("<p>a\n\n</b>" + "x" * 1000, "html", "fr")
    assert "(line 3)" in error.value.message
    assert len(error.value.message) < 200


def test_entities_are_never_expanded() -> None:
    declared = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    text = f'<!DOCTYPE r [<!ENTITY a0 "ha">{declared}]><r>Un &a9; mot</r>'
    began = time.monotonic()
    (sentence,) = parsed(text, "xml", "fr").sentences
    assert sentence.text == "Un Tom mot"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "unit", ["<b>", "</", "<a b=", '<a b="', "<!--", "<? ", "<a {% ", "<script>", "<a ", "<![CDATA["]
)
@pytest.mark.parametrize("format", ["html", "xml"])
def test_the_longest_nonsense_is_refused_in_a_moment(unit: str, format: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidRequest):
        parsed(unit * (100_000 // len(unit)) + "<", "xml" if format == "xml" else "html", "fr")
    assert time.monotonic() - began < 5
