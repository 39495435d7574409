"""A stretch of running text with markup in it, as one text to be translated, and back.

Text with markup travels as HTML whose tags are numbered, `<a id="1">`; a translation may move them, and each is
written as it stood in the source. Knows neither the formats nor who translates.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from service.documents.document import DocumentError, Rendered, Text
from service.documents.layout import spread

WORD = "code"  # the tag of what is kept and stands for a word; others that are kept have no end tag
_TAG = re.compile(r"<(?P<close>/)?(?P<name>[A-Za-z][\w-]*)(?P<attributes>[^>]*)>")
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
    is_close: bool = False  # markup means what it does by what stands right beside it

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
            if tag["close"] and tag["name"] == WORD:
                continue
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
