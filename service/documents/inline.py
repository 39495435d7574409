"""A stretch of running text with markup in it, as one text to be translated, and back.

A format says what comes in it, in order: what is said, where lines break, what opens and closes, and what is to be
kept as it is. Text with markup travels as HTML whose tags are numbered, `<a id="1">`; a translation may move them, and
each is written as it stood in the source. Knows neither the formats nor who translates.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from service.documents.document import DocumentError, Format, Lines, Rendered, Text
from service.documents.layout import is_unspaced, spread

_TAG = re.compile(r"<(?P<close>/)?[A-Za-z][\w-]*(?P<attributes>[^>]*)>")
_NUMBER = re.compile(r"\bid=[\"']?(\d+)")


class Kind(Enum):
    SAID = auto()
    BREAK = auto()  # of a line: the translation has as many
    OPEN = auto()
    CLOSE = auto()
    KEPT = auto()


@dataclass(frozen=True, slots=True)
class Item:
    """What stands in the source from `start` to `end`, written with `before` and `after` around it."""

    kind: Kind
    start: int
    end: int
    said: str = ""
    name: str = ""  # of the tag that stands for it
    needed: bool = False  # of a break, even where a line is left empty
    spelled: bool = False  # what is said is not spelled as it reads
    before: str = ""
    after: str = ""
    hidden: bool = False  # what stands in the source is not written
    properties: str | None = None  # of what is said within, where a format gives them to each stretch of text
    number: int = 0


@dataclass(frozen=True)
class Syntax:
    """How a format spells text. `special` characters have a spelling of their own, unless the source has them bare."""

    special: Mapping[str, str] = field(default_factory=dict)
    line_start: re.Pattern[str] | None = None  # what a new line must not begin with, unescaped; group 1 is kept

    def spelled(self, text: str, own: Mapping[str, str], bare: frozenset[str], opens: Sequence[Item]) -> str:
        """`own` spellings are the source's; `opens` is what is open around the text."""
        spellings = {each: way for each, way in self.special.items() if each not in bare} | dict(own)
        if not spellings:
            return text
        longest_first = sorted(spellings, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), lambda found: spellings[found[0]], text)

    def begun(self, line: str) -> str:
        if self.line_start is None:
            return line
        return self.line_start.sub(r"\1\\\2", line, count=1)


PLAIN = Syntax()


@dataclass(frozen=True)
class Run:
    """A piece of running text."""

    source: str
    items: tuple[Item, ...]
    syntax: Syntax
    text: Text

    @property
    def start(self) -> int:
        return self.items[0].start

    @property
    def end(self) -> int:
        return self.items[-1].end

    def written(self, translation: str, rendered: Rendered) -> str:
        tagged = self.text.format == "html"
        breaks = [item for item in self.items if item.kind is Kind.BREAK]
        parts = spread(translation.strip() if breaks else translation, self._lengths(), tagged=tagged)
        opens: list[Item] = []
        left = {item.number: item for item in self.items if item.kind in (Kind.OPEN, Kind.KEPT)}
        closes = {item.number: item for item in self.items if item.kind is Kind.CLOSE}
        lines = [self._line(part, tagged, opens, left, closes, rendered) for part in parts]
        if left or opens:
            raise DocumentError("the translation has lost markup")
        out = self.syntax.begun(lines[0])
        for index, (between, line) in enumerate(zip(breaks, lines[1:], strict=True)):
            starts_anew = parts[index + 1] and "".join(parts[: index + 1])
            if between.needed or starts_anew:
                out += self.source[between.start : between.end] + self.syntax.begun(line)
            else:
                out += line
        return out

    def _lengths(self) -> list[int]:
        lengths = [0]
        for item in self.items:
            if item.kind is Kind.BREAK:
                lengths.append(0)
            else:
                lengths[-1] += len(item.said)
        return lengths

    def _line(
        self,
        line: str,
        tagged: bool,
        opens: list[Item],
        left: dict[int, Item],
        closes: Mapping[int, Item],
        rendered: Rendered,
    ) -> str:
        if not tagged:
            return self._spelled(line, opens)
        out, at = "", 0
        for tag in _TAG.finditer(line):
            out += self._spelled(html.unescape(line[at : tag.start()]), opens)
            at = tag.end()
            if tag["close"]:
                if not opens:
                    raise DocumentError("the translation closes what is not open")
                item = closes[opens.pop().number]
            else:
                number = _NUMBER.search(tag["attributes"])
                found = left.pop(int(number[1]), None) if number else None
                if found is None:
                    raise DocumentError(f"the translation has markup that the text has not, {tag[0]}")
                item = found
                if item.kind is Kind.OPEN:
                    opens.append(item)
            out += self._slice(item, rendered)
        return out + self._spelled(html.unescape(line[at:]), opens)

    def _slice(self, item: Item, rendered: Rendered) -> str:
        return item.before + ("" if item.hidden else rendered(item.start, item.end)) + item.after

    def _spelled(self, text: str, opens: Sequence[Item]) -> str:
        if not text:
            return ""
        own, bare = {}, set[str]()
        for item in self.items:
            if item.kind is Kind.SAID and item.spelled:
                source = self.source[item.start : item.end]
                if source.startswith("\\"):
                    own[item.said[0]] = source[:2]
                else:
                    own[item.said] = source
            elif item.kind is Kind.SAID:
                bare |= {*item.said}
        return self.syntax.spelled(text, own, frozenset(bare), opens)


class Runs:
    """Collects the pieces of one source as its format comes upon what is in it."""

    def __init__(self, source: str, syntax: Syntax = PLAIN) -> None:
        self.source = source
        self.syntax = syntax
        self.found: list[Run] = []
        self._items: list[Item] = []
        self._lines = Lines(source)

    def said(self, start: int, end: int, said: str | None = None) -> None:
        """What is read between `start` and `end`, where it is not what is spelled there."""
        source = self.source[start:end]
        text = source if said is None else said
        if text:
            self.add(Item(Kind.SAID, start, end, text, spelled=text != source))

    def line_break(self, start: int, end: int, *, needed: bool = False) -> None:
        self.add(Item(Kind.BREAK, start, end, needed=needed))

    def opened(self, start: int, end: int, name: str) -> None:
        self.add(Item(Kind.OPEN, start, end, name=name))

    def closed(self, start: int, end: int, name: str) -> None:
        self.add(Item(Kind.CLOSE, start, end, name=name))

    def kept(self, start: int, end: int, name: str = "img") -> None:
        self.add(Item(Kind.KEPT, start, end, name=name))

    def add(self, item: Item) -> None:
        self._items.append(item)

    def parted(self, start: int, end: int, name: str = "br") -> None:
        """What parts texts, unless something is open around it."""
        depth = sum({Kind.OPEN: 1, Kind.CLOSE: -1}.get(item.kind, 0) for item in self._items)
        if depth > 0:
            self.kept(start, end, name)
        else:
            self.finish()

    def finish(self, place: str = "", syntax: Syntax | None = None) -> None:
        """The piece ends here. `place` is the line unless given."""
        items = _trimmed(_numbered(self._items))
        self._items = []
        if items:
            self.found.append(
                Run(
                    self.source,
                    tuple(items),
                    syntax or self.syntax,
                    Text(*_as_text(items), place or self._lines.place(items[0].start)),
                )
            )


def _numbered(items: Sequence[Item]) -> list[Item]:
    """Pairs share a number; what opens or closes alone is kept as it is."""
    numbered, opens = [replace(item, number=n) for n, item in enumerate(items, start=1)], list[int]()
    alone = set[int]()
    for index, item in enumerate(numbered):
        if item.kind is Kind.OPEN:
            opens.append(index)
        elif item.kind is Kind.CLOSE:
            fitting = next((each for each in reversed(opens) if numbered[each].name == item.name), None)
            if fitting is None:
                alone.add(index)
                continue
            numbered[index] = replace(item, number=numbered[fitting].number)
            while opens.pop() != fitting:
                pass
    paired = {item.number for item in numbered if item.kind is Kind.CLOSE}
    alone |= {index for index, item in enumerate(numbered) if item.kind is Kind.OPEN and item.number not in paired}
    return [
        replace(item, kind=Kind.KEPT, name="img", number=index + 1) if index in alone else item
        for index, item in enumerate(numbered)
    ]


def _trimmed(items: list[Item]) -> list[Item]:
    """Without what stands around all that is said: white space, breaks, markup."""
    while items:
        first, last = items[0], items[-1]
        if first.kind is Kind.OPEN and last.kind is Kind.CLOSE and first.number == last.number:
            items = items[1:-1]
        elif _falls_off(first) and (len(items) == 1 or items[1].start >= first.end):
            items = items[1:]
        elif _falls_off(last) and items[-2].end <= last.start:
            items = items[:-1]
        elif first.kind is Kind.OPEN and not _says(items[: (close := _place_of(items, Kind.CLOSE, first)) + 1]):
            items = items[close + 1 :]
        elif last.kind is Kind.CLOSE and not _says(items[(opening := _place_of(items, Kind.OPEN, last)) :]):
            items = items[:opening]
        elif first.kind is Kind.SAID and not first.spelled and first.said[0].isspace():
            stripped = first.said.lstrip()
            items = [replace(first, start=first.end - len(stripped), said=stripped), *items[1:]]
        elif last.kind is Kind.SAID and not last.spelled and last.said[-1].isspace():
            stripped = last.said.rstrip()
            items = [*items[:-1], replace(last, end=last.start + len(stripped), said=stripped)]
        else:
            break
    return items


def _falls_off(item: Item) -> bool:
    if item.kind is Kind.SAID:
        return item.said.isspace() and not item.spelled
    return item.kind in (Kind.BREAK, Kind.KEPT)


def _says(items: Sequence[Item]) -> bool:
    return any(item.said.strip() for item in items)


def _place_of(items: Sequence[Item], kind: Kind, other: Item) -> int:
    """Of the other half of a pair."""
    return next(index for index, item in enumerate(items) if item.kind is kind and item.number == other.number)


def _as_text(items: Sequence[Item]) -> tuple[str, Format]:
    tagged = any(item.kind in (Kind.OPEN, Kind.KEPT) for item in items)
    parts = []
    for index, item in enumerate(items):
        if item.kind is Kind.SAID:
            parts.append(html.escape(item.said, quote=False) if tagged else item.said)
        elif item.kind is Kind.BREAK:
            around = [each.said for each in (items[index - 1], items[index + 1]) if each.said]
            joined = len(around) == 2 and is_unspaced(around[0][-1]) and is_unspaced(around[1][0])
            parts.append("" if joined else " ")
        elif item.kind is Kind.CLOSE:
            parts.append(f"</{item.name}>")
        else:
            parts.append(f'<{item.name} id="{item.number}">')
    return "".join(parts), "html" if tagged else "text"
