"""Markdown: each heading, paragraph, list item, cell of a table, footnote, and description of an image is a text.

What stays: front matter, code, definitions of links, URLs, and all that makes the structure. pyromark (CommonMark with
GitHub's tables, footnotes, strikethrough and task lists) says where in the file each of these is. Blocks of HTML are
read as HTML is, unless marks of quotations or indentation of lists stand within them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import pyromark

from service.documents import html
from service.documents.document import Piece
from service.documents.inline import WORD, Item, Kind, Syntax
from service.documents.runs import Runs

_OPTIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_FOOTNOTES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_TASKLISTS
    | pyromark.Options.ENABLE_GFM
    | pyromark.Options.ENABLE_DEFINITION_LIST
    | pyromark.Options.ENABLE_HEADING_ATTRIBUTES
    | pyromark.Options.ENABLE_MATH
    | pyromark.Options.ENABLE_YAML_STYLE_METADATA_BLOCKS
    | pyromark.Options.ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS
)
_ESCAPED = {character: f"\\{character}" for character in "\\`*[]<~"}
# What would begin a list, a quotation, a heading or a rule.
_LINE_START = re.compile(
    r"^(\d{1,9}(?=[.)](?:\s|$))|(?=[-+*>](?:\s|$)|#{1,6}(?:\s|$)|(?:=+|-+)\s*$))(.)",
)
_PARAGRAPH = Syntax(_ESCAPED, _LINE_START, is_close=True)
_ONE_LINE = Syntax(_ESCAPED, is_close=True)  # of a heading
_CELL = Syntax(_ESCAPED | {"|": "\\|"}, is_close=True)
_SYNTAX = {"Heading": _ONE_LINE, "TableCell": _CELL}
_TAGS = {"Emphasis": "em", "Strong": "strong", "Strikethrough": "s", "Link": "a"}
_LEFT = {"CodeBlock", "MetadataBlock"}
_HTML = re.compile(r"<(?P<close>/)?(?P<name>[A-Za-z][\w-]*)(?P<rest>[^>]*)>")


@dataclass(frozen=True, slots=True)
class _Event:
    kind: str  # Start, End, Text, Code, SoftBreak ...
    name: str  # of what starts or ends
    value: Any
    start: int
    end: int

    @property
    def is_block(self) -> bool:
        if self.kind in ("Start", "End"):
            return self.name not in _TAGS and self.name != "Image"
        return self.kind in ("TaskListMarker", "Rule")


def pieces(source: str) -> list[Piece]:
    reader = _Reader(source)
    syntaxes, left, line = [_PARAGRAPH], 0, list[_Event]()
    found, block = list[Piece](), list[_Event]()
    for event in _events(source):
        if event.kind == "Html":
            block.append(event)
            continue
        if event.kind == "End" and event.name == "HtmlBlock":
            if not any(source[first.end : second.start].strip("\r") for first, second in pairwise(block)):
                found += html.pieces(source, block[0].start, block[-1].end)
            block = []
        if event.name in _LEFT:
            left += {"Start": 1, "End": -1}[event.kind]
        elif left:
            continue
        if not event.is_block:
            line.append(event)
            continue
        reader.read(line, syntaxes[-1])
        line = []
        if event.kind == "Start":
            syntaxes.append(_SYNTAX.get(event.name, _PARAGRAPH))
        elif event.kind == "End":
            syntaxes.pop()
    return [*reader.runs.found, *reader.descriptions.found, *found]


def _within(events: Sequence[_Event], index: int) -> Iterator[_Event]:
    """What stands in the image that begins there. Not all that follows is looked at: a line may have many images."""
    image = events[index]
    for number in range(index + 1, len(events)):
        if (each := events[number]).start >= image.end:
            return
        if image.start < each.start and each.end < image.end:
            yield each


class _Reader:
    """Makes items of the parser's events; what stands between two events belongs to one of them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.runs = Runs(source)
        self.descriptions = Runs(source, _ONE_LINE)

    def read(self, events: Sequence[_Event], syntax: Syntax) -> None:
        """The running text of one block."""
        at = kept_until = events[0].start if events else 0
        opens: list[_Event] = []
        broken: _Event | None = None  # a line break goes on to what follows it
        for index, event in enumerate(events):
            if event.end <= kept_until:
                continue
            begin = event.start
            if event.kind == "Text" and at < begin and self.source[begin - 1] == "\\":
                begin -= 1
            if broken is not None:
                self._break(broken, at, begin)
            elif at < begin and event.kind != "SoftBreak":
                self.runs.kept(at, begin)
            broken = event if event.kind in ("SoftBreak", "HardBreak") else None
            if broken is not None:
                continue
            if self._is_image(event) or self._is_autolink(event):
                self.runs.kept(event.start, event.end, "img" if self._is_image(event) else WORD)
                self._describe(event, list(_within(events, index)))
                at = kept_until = event.end
            elif event.kind == "Start":
                at = event.start + self._delimiter(event)
                opens.append(replace(event, end=at))
                self.runs.opened(event.start, at, _TAGS[event.name])
            elif event.kind == "End":
                at = self._close(event, opens.pop(), at)
            else:
                self._word(event, begin)
                at = event.end
        self.runs.finish(syntax=syntax)

    def _is_image(self, event: _Event) -> bool:
        return event.kind == "Start" and event.name == "Image"

    def _is_autolink(self, event: _Event) -> bool:
        return event.kind == "Start" and event.name == "Link" and self.source[event.start] != "["

    def _delimiter(self, event: _Event) -> int:
        if event.name == "Strikethrough":
            return 2 if self.source.startswith("~~", event.start) else 1
        return 2 if event.name == "Strong" else 1

    def _break(self, event: _Event, at: int, end: int) -> None:
        if event.kind == "SoftBreak":
            self.runs.line_break(at, end)
        else:
            self.runs.parted(at, end)

    def _close(self, event: _Event, opened: _Event, at: int) -> int:
        """Returns where it ends. A link that is named by its text gets a name of its own, since the text changes."""
        if event.name != "Link":
            self.runs.closed(event.end - self._delimiter(opened), event.end, _TAGS[event.name])
            return event.end
        link_type = opened.value["link_type"]
        if link_type in ("Shortcut", "Collapsed"):
            end = event.end + (2 if link_type == "Collapsed" else 0)
            name = self.source[opened.end : at]
            self.runs.add(Item(Kind.CLOSE, at, end, name="a", before=f"][{name}]", hidden=True))
            return end
        self.runs.closed(at, event.end, "a")
        return event.end

    def _describe(self, image: _Event, within: Sequence[_Event]) -> None:
        """The description of an image is a text of its own, unless it has markup in it, or names the image."""
        if image.name != "Image" or image.value["link_type"] not in ("Inline", "Reference"):
            return
        if all(each.kind == "Text" for each in within):
            for each in within:
                self.descriptions.said(each.start, each.end, each.value)
            self.descriptions.finish()

    def _word(self, event: _Event, begin: int) -> None:
        if event.kind == "InlineHtml":
            self._inline_html(event)
        elif event.kind != "Text":
            self.runs.kept(event.start, event.end, WORD if event.kind in ("Code", "InlineMath") else "img")
        elif begin < event.start:
            self.runs.said(begin, event.start + 1, event.value[0])
            self.runs.said(event.start + 1, event.end, event.value[1:])
        else:
            self.runs.said(event.start, event.end, event.value)

    def _inline_html(self, event: _Event) -> None:
        tag = _HTML.fullmatch(self.source, event.start, event.end)
        if tag is None or tag["rest"].endswith("/") or tag["name"].lower() in ("img", "wbr", "input"):
            self.runs.kept(event.start, event.end)
        elif tag["name"].lower() == "br":
            self.runs.parted(event.start, event.end)
        elif tag["close"]:
            self.runs.closed(event.start, event.end, tag["name"].lower())
        else:
            self.runs.opened(event.start, event.end, tag["name"].lower())


def _events(source: str) -> Iterator[_Event]:
    """The parser counts bytes."""
    offsets = list(accumulate((len(character.encode()) for character in source), initial=0))
    characters = dict(zip(offsets, range(len(offsets)), strict=True))
    for event, where in pyromark.events_with_range(source, options=_OPTIONS):
        kind, value = next(iter(event.items())) if isinstance(event, dict) else (event, "")
        name = value if isinstance(value, str) else next(iter(value), "") if isinstance(value, dict) else ""
        inner = value[name] if isinstance(value, dict) and name else value
        if kind not in ("Start", "End"):
            name = ""
        yield _Event(kind, name, inner, characters[where["start"]], characters[where["end"]])
