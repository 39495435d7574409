"""HTML and XML as tokens with their exact places in the text, and what of it is malformed.

No library gives what is needed, the place of each tag, attribute and entity, so that all that is not translated stays
byte for byte: html5lib, lxml and selectolax build a tree and forget how it was written, and the standard library's
html.parser tells where a tag starts but not where its attributes do, and reads `<` over and over in the versions of
some years. HTML is read here as the standard's tokenizer does, and what it calls an error and would lose text is
refused; whether XML is well-formed is said by expat, and its tags are then found by one expression. The time grows with
the length alone. Knows nothing of sentences, nor which element may stand where.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.parsers import expat

from service.worker.segments.markup.elements import KNOWN, RAW, VOID
from service.worker.segments.markup.errors import Format, malformed

# `aside` is what is not of the text (a comment, a declaration, an instruction), `code` what stands for some of it.
Kind = Literal["text", "open", "close", "empty", "aside", "code"]


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    start: int  # of its value, without quotation marks
    stop: int
    quote: Literal["", '"', "'"]


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    start: int
    stop: int
    name: str = ""  # of a tag; in HTML in small letters
    attributes: tuple[Attribute, ...] = ()


def tokens(text: str, format: Format) -> Iterator[Token]:
    """They join to the text. Raises InvalidRequest where it is malformed."""
    return _Html(text).tokens() if format == "html" else _xml_tokens(text)


_MARKUP = re.compile(r"<(?=[A-Za-z/!?%])")
_ASIDE = {
    "<!--": (re.compile(r"--!?>|(?<=<!--)-?>"), "aside", "a comment that is never closed"),
    "<![CDATA[": (re.compile(r"\]\]>"), "aside", "a section that is never closed"),
    "<?php": (re.compile(r"\?>"), "aside", "an instruction that is never closed"),
    "<?=": (re.compile(r"\?>"), "code", "an instruction that is never closed"),
    "<%=": (re.compile(r"%>"), "code", "an instruction that is never closed"),
    "<%": (re.compile(r"%>"), "aside", "an instruction that is never closed"),
    "<!": (re.compile(">"), "aside", "a declaration that is never closed"),
    "<?": (re.compile(">"), "aside", "an instruction that is never closed"),
}
_OPENS_ASIDE = re.compile(r"<!--|<!\[CDATA\[|<\?php|<\?=|<%=|<%|<!|<\?")
_NAME = re.compile(r"<([A-Za-z][^\s/<>]*)")
_CLOSE = re.compile(r"</([A-Za-z][^\s/<>]*)\s*>")
_TEMPLATE = r"\{\{[^{}]*\}\}|\{%[^%]*%\}|<%[^%]*%>|<\?[^?]*\?>"  # in place of an attribute
_ATTRIBUTE = re.compile(
    rf"[\s/]*(?P<name>{_TEMPLATE}|[^\s\"'<>/=]+)"
    r"(?:\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'<>`=][^\s\"'<>]*)|(?=>)))?"
)
_TAG_END = re.compile(r"[\s/]*>")
_QUOTE = re.compile(r"\s*=\s*[\"']")


class _Html:
    def __init__(self, text: str) -> None:
        self._text = text

    def tokens(self) -> Iterator[Token]:
        text, place = self._text, 0
        while found := _MARKUP.search(text, place):
            if place < found.start():
                yield Token("text", place, found.start())
            token = self._markup(found.start())
            yield token
            place = token.stop
            if token.kind == "open" and token.name in RAW:
                end = re.compile(rf"</{token.name}(?=[\s/>])", re.IGNORECASE).search(text, place)
                if end is None:
                    raise self._malformed(token.start, f"<{token.name}> is never closed")
                if place < end.start():
                    yield Token("text", place, end.start())
                place = end.start()
        if place < len(text):
            yield Token("text", place, len(text))

    def _markup(self, start: int) -> Token:
        following = self._text[start + 1]
        if following == "/":
            close = _CLOSE.match(self._text, start)
            if close is None:
                raise self._malformed(start, "a closing tag without a name or without its >")
            return Token("close", start, close.end(), close[1].lower())
        return self._aside(start) if following in "!?%" else self._tag(start)

    def _aside(self, start: int) -> Token:
        opening = _OPENS_ASIDE.match(self._text, start)
        assert opening is not None, "the last of them match all"
        closing, kind, why = _ASIDE[opening[0]]
        closed = closing.search(self._text, opening.end())
        if closed is None:
            raise self._malformed(start, why)
        return Token("code" if kind == "code" else "aside", start, closed.end())

    def _tag(self, start: int) -> Token:
        text = self._text
        name = _NAME.match(text, start)
        assert name is not None, "a letter follows"
        attributes, place = [], name.end()
        while found := _ATTRIBUTE.match(text, place):
            attributes.append(_attribute(found))
            place = found.end()
        end = _TAG_END.match(text, place)
        if end is None:
            quote = _QUOTE.match(text, place)
            why = "a quotation mark that is never closed" if quote else "a tag that is never closed by >"
            raise self._malformed(start if quote is None else quote.end() - 1, why)
        lower = name[1].lower()
        closed = text[end.end() - 2] == "/" and lower not in KNOWN  # of which browsers ignore the slash
        kind: Kind = "empty" if closed or lower in VOID else "open"
        return Token(kind, start, end.end(), lower, tuple(attributes))

    def _malformed(self, position: int, why: str) -> Exception:
        return malformed(self._text, "html", position, why)


def _attribute(found: re.Match[str]) -> Attribute:
    name = found["name"].lower()
    for group, quote in (("double", '"'), ("single", "'"), ("bare", "")):
        if found[group] is not None:
            return Attribute(name, found.start(group), found.end(group), quote)  # type: ignore[arg-type]
    return Attribute(name, found.end(), found.end(), "")


_XML_TOKEN = re.compile(
    r"""<(?:
      !--.*?--> | \?.*?\?>
    | (?P<cdata>!\[CDATA\[.*?\]\]>)
    | !DOCTYPE (?:[^\["'>]|"[^"]*"|'[^']*')*
      (?:\[ (?:"[^"]*"|'[^']*'|<!--.*?-->|<\?.*?\?>|<(?!!--|\?)|[^\]"'<])* \]\s*)?>
    | (?P<closes>/?)(?P<name>[^\s/<>!?]+)(?P<attributes>(?:\s+[^\s=/>]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(?P<empty>/?)>
    )""",
    re.DOTALL | re.VERBOSE,
)
_XML_ATTRIBUTE = re.compile(r"\s+(?P<name>[^\s=]+)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')")
_PROLOG = re.compile(r"\ufeff?<\?xml\s|(?:\s+|<!--.*?-->|<\?.*?\?>)*<!DOCTYPE", re.DOTALL)


def _xml_tokens(text: str) -> Iterator[Token]:
    _check_xml(text)
    place = 0
    for found in _XML_TOKEN.finditer(text):
        if place < found.start():
            yield Token("text", place, found.start())
        place = found.end()
        name = found["name"]
        if name is None:
            yield Token("code" if found["cdata"] else "aside", found.start(), found.end())
        elif found["closes"]:
            yield Token("close", found.start(), found.end(), name)
        else:
            attributes = [
                Attribute(each["name"], *each.span(group), quote)  # type: ignore[arg-type]
                for each in _XML_ATTRIBUTE.finditer(text, *found.span("attributes"))
                for group, quote in [("double", '"') if each["double"] is not None else ("single", "'")]
            ]
            yield Token("empty" if found["empty"] else "open", *found.span(), name, tuple(attributes))
    if place < len(text):
        yield Token("text", place, len(text))


def _check_xml(text: str) -> None:
    """Raises InvalidRequest where a document, or else the content of an element, is not well-formed.

    Entities are letters to expat: what they stand for is left to whoever knows them, and none is ever expanded.
    """
    around = ("", "") if _PROLOG.match(text) else ("<content>", "</content>")
    parser = expat.ParserCreate("utf-8")
    open_tags: list[tuple[str, int]] = []
    parser.StartElementHandler = lambda name, _: open_tags.append((name, parser.CurrentByteIndex))
    parser.EndElementHandler = lambda _: open_tags.pop()
    try:
        content = "".join((around[0], text, around[1])).encode()
        parser.Parse(_ENTITY.sub(lambda found: b"x" * len(found[0]), content), True)
    except UnicodeEncodeError as error:
        raise malformed(text, "xml", error.start - len(around[0]), "half of a character") from None
    except expat.ExpatError as error:
        index, why = parser.ErrorByteIndex, expat.errors.messages.get(error.code, "") or str(error)
        inner = open_tags[-1] if len(open_tags) > bool(around[0]) else None
        if inner is not None and index >= len(content) - len(around[1]):
            index, why = inner[1], f"<{inner[0]}> is never closed"
        elif error.code == _MISMATCH:
            index = content.rindex(b"<", 0, index)
            why += f", <{inner[0]}> is open" if inner is not None else ""
        position = len(content[:index].decode(errors="ignore")) - len(around[0])
        raise malformed(text, "xml", min(max(position, 0), len(text)), why) from None


_ENTITY = re.compile(rb"&[A-Za-z_:][\w:.-]*;")
_MISMATCH = expat.errors.codes[expat.errors.XML_ERROR_TAG_MISMATCH]
