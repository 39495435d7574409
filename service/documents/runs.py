"""Running text as its format comes upon it: what is said, where lines break, what opens and closes, what is kept.

Each piece is found to be a text with numbered tags, or a plain one where all that is said has no markup in it.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace

from service.documents.document import Format, Lines, Text
from service.documents.inline import PLAIN, WORD, Item, Kind, Run, Syntax
from service.documents.layout import is_unspaced

# HTML's, in which others would mean nothing.
_TAGS = frozenset(
    {"a", "b", "br", "cite", "code", "del", "em", "font", "i", "img", "ins", "mark", "q", "ruby", "s", "small", "span"}
    | {"strike", "strong", "sub", "sup", "u"}
)

# Of one text: some of what is done with them takes the square of their number. A paragraph that has more is several.
MOST_ITEMS = 2000


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
        all_items, self._items = self._items, []
        for first in range(0, len(all_items), MOST_ITEMS):
            self._found(all_items[first : first + MOST_ITEMS], place, syntax or self.syntax)

    def _found(self, items: list[Item], place: str, syntax: Syntax) -> None:
        items = _renumbered(_trimmed(_paired(items), syntax.is_close))
        if items:
            text = Text(*_as_text(items), place or self._lines.place(items[0].start))
            self.found.append(Run(self.source, tuple(items), syntax, text))


def _paired(items: Sequence[Item]) -> list[Item]:
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


def _trimmed(items: list[Item], is_close: bool) -> list[Item]:
    """Without what stands around all that is said: white space, breaks, markup.

    Where what `is_close` to a word matters, markup goes only with white space between.
    """
    while items:
        first, last = items[0], items[-1]
        if first.kind is Kind.OPEN and last.kind is Kind.CLOSE and first.number == last.number:
            items = items[1:-1]
        elif (count := _leading(items)) and _is_apart(items, count, is_close):
            items = items[count:]
        elif (count := _trailing(items)) and _is_apart(items[::-1], count, is_close):
            items = items[:-count]
        elif first.kind is Kind.SAID and not first.spelled and first.said[0].isspace():
            stripped = first.said.lstrip()
            items = [replace(first, start=first.end - len(stripped), said=stripped), *items[1:]]
        elif last.kind is Kind.SAID and not last.spelled and last.said[-1].isspace():
            stripped = last.said.rstrip()
            items = [*items[:-1], replace(last, end=last.start + len(stripped), said=stripped)]
        else:
            break
    return items


def _leading(items: Sequence[Item]) -> int:
    """How many items at the start may go: one that says nothing, or a pair that nothing is said in."""
    first = items[0]
    if first.kind is Kind.OPEN:
        count = 1 + _place_of(items, Kind.CLOSE, first)
        return 0 if _says(items[:count]) else count
    in_one_place = len(items) > 1 and items[1].start < first.end
    return 1 if _falls_off(first) and not in_one_place else 0


def _trailing(items: Sequence[Item]) -> int:
    last = items[-1]
    if last.kind is Kind.CLOSE:
        opening = _place_of(items, Kind.OPEN, last)
        return 0 if _says(items[opening:]) else len(items) - opening
    in_one_place = len(items) > 1 and items[-2].end > last.start
    return 1 if _falls_off(last) and not in_one_place else 0


def _is_apart(items: Sequence[Item], count: int, is_close: bool) -> bool:
    """Whether the first `count` items do not touch a word that is said behind them, or before them in reverse."""
    if not is_close or count == len(items) or items[0].kind in (Kind.SAID, Kind.BREAK):
        return True
    following = items[count]
    if following.kind is not Kind.SAID:
        return following.kind is Kind.BREAK
    is_reversed = following.start < items[0].start
    return following.said[-1 if is_reversed else 0].isspace()


def _falls_off(item: Item) -> bool:
    if item.kind is Kind.SAID:
        return item.said.isspace() and not item.spelled
    return item.kind in (Kind.BREAK, Kind.KEPT)


def _renumbered(items: Sequence[Item]) -> list[Item]:
    """Tags are counted from 1 in each text, so that equal texts are equal."""
    numbers = {item.number: 0 for item in items if item.kind in (Kind.OPEN, Kind.KEPT)}
    numbers = {number: place for place, number in enumerate(numbers, start=1)}
    return [replace(item, number=numbers.get(item.number, 0)) for item in items]


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
            parts.append(f"</{_tag(item)}>")
        else:
            end = f"</{WORD}>" if item.name == WORD else ""
            parts.append(f'<{_tag(item)} id="{item.number}">{end}')
    return "".join(parts), "html" if tagged else "text"


def _tag(item: Item) -> str:
    return item.name if item.name in _TAGS else "span"
