"""HTML: what stands between two tags of blocks is a text, with its inline tags; so are descriptions and titles.

What stays: scripts, styles, code, preformatted text, comments, `translate="no"`, and every other attribute. The
standard library's parser says where things are; what it cannot make sense of stays as it is.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import accumulate, pairwise

from service.documents.document import Piece
from service.documents.inline import WORD, Syntax
from service.documents.runs import Runs

_SYNTAX = Syntax({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_QUOTED = Syntax({"&": "&amp;", "<": "&lt;", '"': "&quot;", "'": "&#39;"})
_INLINE = frozenset(
    {
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "button",
        "cite",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "img",
        "input",
        "ins",
        "label",
        "mark",
        "q",
        "ruby",
        "s",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
        "code",
        "kbd",
        "samp",
        "svg",
        "math",
        "object",
        "audio",
        "video",
        "canvas",
        "map",
    }
)
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_LEFT = frozenset(
    {
        "script",
        "style",
        "code",
        "kbd",
        "samp",
        "pre",
        "textarea",
        "svg",
        "math",
        "object",
        "audio",
        "video",
        "canvas",
        "template",
        "noscript",
    }
)
_WORDS = frozenset(
    {"a", "abbr", "b", "code", "em", "i", "kbd", "samp", "span", "strong", "tt", "var"}
)  # when they are kept
_ATTRIBUTES = frozenset({"alt", "title", "placeholder", "aria-label"})
_ATTRIBUTE = re.compile(r"([^\s=/\"'<>]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_DESCRIBING = frozenset({"description", "og:title", "og:description", "twitter:title", "twitter:description"})
_BROKEN = re.compile(r"\s*\n\s*")


@dataclass(frozen=True, slots=True)
class _Event:
    kind: str  # start, empty, end, said, spelled, other
    start: int
    name: str = ""


class _Parser(HTMLParser):
    def __init__(self, source: str, start: int, end: int) -> None:
        super().__init__(convert_charrefs=False)
        self.events: list[_Event] = []
        lines = source[start:end].split("\n")
        self._lines = [*accumulate(map(len, lines), lambda at, length: at + length + 1, initial=start)]
        self.feed(source[start:end])
        self.close()

    def _add(self, kind: str, name: str = "") -> None:
        line, column = self.getpos()
        self.events.append(_Event(kind, self._lines[line - 1] + column, name))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._add("start", tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self._add("empty", tag)

    def handle_endtag(self, tag: str) -> None:
        self._add("end", tag)

    def handle_data(self, data: str) -> None:
        self._add("said")

    def handle_entityref(self, name: str) -> None:
        self._add("spelled")

    def handle_charref(self, name: str) -> None:
        self._add("spelled")

    def handle_comment(self, data: str) -> None:
        self._add("kept")

    def handle_decl(self, decl: str) -> None:
        self._add("other")

    def handle_pi(self, data: str) -> None:
        self._add("other")

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """`<![` begins nothing in HTML, and stays as a comment does; the library raises an AssertionError."""
        return self.parse_bogus_comment(i)

    def unknown_decl(self, data: str) -> None:
        self._add("other")


def pieces(source: str, start: int = 0, end: int | None = None) -> list[Piece]:
    """Those of what stands between `start` and `end`."""
    end = len(source) if end is None else end
    return _pieces(source, [*_Parser(source, start, end).events, _Event("other", end)])


def _pieces(source: str, events: list[_Event]) -> list[Piece]:
    runs, attributes = Runs(source, _SYNTAX), Runs(source, _QUOTED)
    left: tuple[str, int, int] | None = None  # an element that stays: its name, where it begins, how deep it is
    for event, following in pairwise(events):
        end = following.start
        if left is not None:
            name, start, depth = left
            depth += {"start": 1, "end": -1}.get(event.kind, 0) if event.name == name else 0
            left = (name, start, depth) if depth else None
            if left is None:
                _stays(runs, name, start, end)
            continue
        if event.kind in ("start", "empty"):
            _attributes(attributes, source, event, end)
        if event.kind == "start" and event.name not in _VOID and _is_left(source, event, end):
            left = (event.name, event.start, 1)
        else:
            _read(runs, source, event, end)
    if left is not None:
        _stays(runs, left[0], left[1], events[-1].start)
    runs.finish()
    return [*runs.found, *attributes.found]


def _is_left(source: str, event: _Event, end: int) -> bool:
    return (
        event.name in _LEFT or re.search(r"\btranslate\s*=\s*[\"']?no\b", source[event.start : end], re.I) is not None
    )


def _stays(runs: Runs, name: str, start: int, end: int) -> None:
    if name in _INLINE:
        runs.kept(start, end, WORD if name in _WORDS else "img")
    else:
        runs.finish()


def _read(runs: Runs, source: str, event: _Event, end: int) -> None:
    if event.kind == "said":
        at = event.start
        for broken in _BROKEN.finditer(source, event.start, end):
            runs.said(at, broken.start())
            runs.line_break(broken.start(), broken.end())
            at = broken.end()
        runs.said(at, end)
    elif event.kind == "spelled":
        runs.said(event.start, end, html.unescape(source[event.start : end]))
    elif event.kind == "kept":
        runs.kept(event.start, end)
    elif event.name == "br":
        runs.parted(event.start, end)
    elif event.name not in _INLINE:
        runs.finish()
    elif event.kind == "empty" or event.name in _VOID:
        runs.kept(event.start, end)
    elif event.kind == "start":
        runs.opened(event.start, end, event.name)
    else:
        runs.closed(event.start, end, event.name)


def _attributes(runs: Runs, source: str, event: _Event, end: int) -> None:
    tag = source[event.start : end]
    values = {found[1].lower(): found for found in _ATTRIBUTE.finditer(tag)}
    wanted = {*_ATTRIBUTES}
    if event.name == "meta" and any(values[key][2] in _DESCRIBING for key in ("name", "property") if key in values):
        wanted.add("content")
    if 'translate="no"' in tag:
        return
    for name in wanted & values.keys():
        found = values[name]
        first, last = found.span(2 if found[2] is not None else 3)
        if first < last:
            raw = source[event.start + first : event.start + last]
            runs.said(event.start + first, event.start + last, html.unescape(raw))
            runs.finish()
