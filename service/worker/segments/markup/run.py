"""A run of inline content while it is read: plain text, tags and pieces between two ends of blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from service.worker.segments.markup.entities import REFERENCE, Quote, decoded
from service.worker.segments.markup.errors import Format
from service.worker.segments.markup.marked import Kept, Marked, Place, Tag

OBJECT = "\ufffc"  # OBJECT REPLACEMENT CHARACTER, in place of a piece until it has a stand-in
_SPACE = " \t\n\r\f"
_CONTENT = re.compile(rf"(?P<space>[{_SPACE}]+)|(?P<reference>{REFERENCE.pattern})|(?P<text>[^&{_SPACE}]+|&)")


@dataclass
class Run:
    source: str
    format: Format
    quote: Quote | None = None
    text: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    pieces: list[Kept] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)

    def add_text(self, start: int, stop: int, *, preserved: bool = False) -> None:
        for found in _CONTENT.finditer(self.source, start, stop):
            if found["space"]:
                self._add_space(found[0], found.start(), preserved)
            elif found["reference"]:
                self._add_reference(found, stop, preserved)
            else:
                self._add_characters(found[0], found.start())

    def add_tag(self, tag: Tag) -> int:
        self.tags.append(tag)
        return len(self.tags) - 1

    def add_point(self, place: Place) -> None:
        self.add_tag(Tag(len(self.text), place, "point"))

    def close(self, place: Place, opened: int | None) -> None:
        """`opened` is the number of the tag that it closes, if that is in this run."""
        number = self.add_tag(Tag(len(self.text), place, "close", opened))
        if opened is not None:
            self.tags[opened] = replace(self.tags[opened], partner=number)

    def add_piece(self, place: Place, *, is_word: bool) -> None:
        self.pieces.append(Kept(len(self.text), len(self.text) + 1, place, is_word))
        self._append(OBJECT, place)

    def fold(self, number: int) -> None:
        """The pair that begins with this tag, and ends here, is one point with all that it holds."""
        tag = self.tags[number]
        del self.text[tag.offset :], self.places[tag.offset :]
        while self.pieces and self.pieces[-1].start >= tag.offset:
            self.pieces.pop()
        place = (tag.place[0], self.tags[-1].place[1])
        del self.tags[number:]
        self.add_point(place)

    def marked(self) -> Marked:
        return Marked(
            text="".join(self.text),
            places=self.places,
            tags=self.tags,
            pieces=self.pieces,
            written=self.written,
            quote=self.quote,
            place=(self.places[0][0], self.places[-1][1]) if self.places else (0, 0),
        )

    def _append(self, character: str, place: Place) -> None:
        self.text.append(character)
        self.places.append(place)

    def _add_characters(self, text: str, start: int) -> None:
        self.text.extend(text)
        self.places.extend((place, place + 1) for place in range(start, start + len(text)))
        for character in "&<>":
            if character in text:
                self.written.setdefault(character, character)

    def _add_space(self, space: str, start: int, preserved: bool) -> None:
        """White space is one space and none behind another one, where it is not preserved."""
        if preserved:
            for number, character in enumerate(space, start):
                self._append(character, (number, number + 1))
        elif self.tags and self.tags[-1].offset == len(self.text) and (not self.text or self.text[-1] == " "):
            tag = self.tags[-1]  # which stands between this space and one that is there: it is written with the tag
            if tag.place[1] == start:
                self.tags[-1] = replace(tag, place=(tag.place[0], start + len(space)))
        elif self.text and self.text[-1] == " " and self.places[-1][1] == start:
            self.places[-1] = (self.places[-1][0], start + len(space))
        elif self.text:
            self._append(" ", (start, start + len(space)))

    def _add_reference(self, found: re.Match[str], stop: int, preserved: bool) -> None:
        following = self.source[found.end()] if found.end() < stop else ""
        meant = decoded(found[0], self.format, in_attribute=self.quote is not None, following=following)
        place = found.span()
        if meant is None:
            self.add_piece(place, is_word=True)
        elif meant == found[0]:
            self._add_characters(meant, found.start())
        elif meant.isspace() and meant in _SPACE:
            self._append(meant if preserved else " ", place)
        else:
            for character in meant:
                self._append(character, place)
            if len(meant) == 1 and not (meant.isascii() and meant.isalnum()):
                self.written[meant] = found[0]


def links(run: Marked) -> Iterator[tuple[int, int]]:
    """The outermost pairs of `a`, if the text has several and no letter beside them: a menu, not a sentence."""
    found, end = [], 0
    for tag in run.tags:
        if tag.kind == "open" and tag.partner is not None and tag.is_link and tag.offset >= end:
            if any(map(str.isalpha, run.text[end : tag.offset])):
                return
            end = run.tags[tag.partner].offset
            found.append((tag.offset, end))
    if len(found) > 1 and not any(map(str.isalpha, run.text[end:])):
        yield from found
