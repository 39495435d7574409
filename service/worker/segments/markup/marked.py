"""A sentence as plain text with the tags that stand in it, and each character's place in the source.

Knows nothing of HTML, XML, models or translations.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from models import formats
from service.worker.segments.markup.entities import Quote
from service.worker.segments.protection import Piece

Place = tuple[int, int]  # from and to, in the source

_WORD_OR_SPACE = re.compile(r"\s+|\S+")


@dataclass(frozen=True, slots=True)
class Tag:
    """What stands between two characters. It is written where the translation says, as it stands in the source."""

    offset: int  # in the plain text
    place: Place
    kind: Literal["open", "close", "point"]  # a point is what has no other side
    partner: int | None = None  # the tag of the other side, if it is in the same text
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A piece of the sentence that is not translated: under a stand-in, once the sentence is read."""

    start: int
    end: int
    place: Place
    is_word: bool  # else a picture, which at an end of a sentence is no part of it


@dataclass(frozen=True, kw_only=True)
class Marked:
    text: str
    places: list[Place] = field(repr=False)  # of each character; all of a piece's have the piece's
    tags: list[Tag] = field(default_factory=list)  # in their order, nested well
    pieces: list[Kept] = field(default_factory=list)
    written: Mapping[str, str] = field(default_factory=dict)  # characters as the source writes them
    quote: Quote | None = None  # around an attribute's value
    place: Place  # what the translation replaces
    space: Place | None = None  # between it and the sentence before it, in the same run of text: empty if there is none

    def part(self, start: int, end: int) -> Marked:
        """The text from `start` to `end`, with the tags that belong to it.

        What stands at its ends is no part of it, unless a tag's other side stands within: so pairs around all of it
        stay around all of it, wherever its words go.
        """
        start, end = self._without_pictures(start, end)
        first = _index(self.tags, start)
        behind_left, behind = _index(self.tags, start + 1), _index(self.tags, end + 1)
        right = _index(self.tags, end)
        low = next((n for n in range(first, behind_left) if self._is_within(n, start, end)), behind_left)
        high = next((n + 1 for n in range(behind - 1, right - 1, -1) if self._is_within(n, start, end)), right)
        tags = [
            replace(
                tag,
                offset=tag.offset - start,
                partner=tag.partner - low if tag.partner is not None and low <= tag.partner < high else None,
            )
            for tag in self.tags[low:high]
        ]
        places = self.places[start:end]
        return replace(
            self,
            text=self.text[start:end],
            places=places,
            tags=tags,
            pieces=[
                replace(piece, start=piece.start - start, end=piece.end - start) for piece in self.pieces_in(start, end)
            ],
            place=(
                min(places[0][0], tags[0].place[0] if tags else places[0][0]),
                max(places[-1][1], tags[-1].place[1] if tags else places[-1][1]),
            ),
        )

    def parts(self, spans: Iterable[tuple[int, int]]) -> Iterator[Marked]:
        """Parts of the text, in their order, with what parts each from the one before it."""
        before: int | None = None
        for start, end in spans:
            found = self.part(start, end)
            if before is None:
                space = self.space
            elif (gap := self.text[before:start]) in ("", " "):
                space = self.places[before] if gap else (found.place[0], found.place[0])
            else:
                space = None
            yield replace(found, space=space)
            before = end

    def pieces_in(self, start: int, end: int) -> list[Kept]:
        """Those that lie between two places of the text."""
        first = bisect_left(self.pieces, start, key=lambda piece: piece.start)
        return self.pieces[first : bisect_right(self.pieces, end, key=lambda piece: piece.end)]

    def keeping(self, spans: Iterable[tuple[int, int]]) -> Marked:
        """With these spans of the text among its pieces, but those that have a tag or another piece in them."""
        pieces = list(self.pieces)
        for start, end in spans:
            has_tags = _index(self.tags, start + 1) < _index(self.tags, end)
            if not has_tags and not self.pieces_in(start, end):
                place = (self.places[start][0], self.places[end - 1][1])
                pieces.append(Kept(start, end, place, is_word=True))
        return replace(self, pieces=sorted(pieces, key=lambda piece: piece.start))

    def read(self, stand_ins: Callable[[str, Sequence[Piece]], Sequence[str]]) -> Marked:
        """As a model reads it: normalized, with a stand-in for each piece."""
        if not self.pieces and formats.normalize(self.text) == self.text:
            return self
        names = stand_ins(self.text, [Piece(piece.start, piece.end, "markup") for piece in self.pieces])
        read = _Read(self)
        pieces, done = [], 0
        for piece, name in zip(self.pieces, names, strict=True):
            read.words(done, piece.start)
            pieces.append(replace(piece, start=len(read.places), end=len(read.places) + len(name)))
            read.add(piece.start, piece.end, name, [piece.place] * len(name))
            done = piece.end
        read.words(done, len(self.text))
        tags = [replace(tag, offset=read.offsets[tag.offset]) for tag in self.tags]
        return replace(self, text="".join(read.text), places=read.places, tags=tags, pieces=pieces)

    def _is_within(self, number: int, start: int, end: int) -> bool:
        partner = self.tags[number].partner
        return partner is not None and start < self.tags[partner].offset < end

    def _without_pictures(self, start: int, end: int) -> tuple[int, int]:
        pieces = self.pieces_in(start, end)
        for piece in pieces:
            if piece.is_word or self.text[start : piece.start].strip():
                break
            start = piece.end
        for piece in reversed(pieces):
            if piece.is_word or piece.start < start or self.text[piece.end : end].strip():
                break
            end = piece.start
        text = self.text[start:end]
        return start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip()))


class _Read:
    """A text while it is read, with what was where."""

    def __init__(self, marked: Marked) -> None:
        self._marked = marked
        self.text: list[str] = []
        self.places: list[Place] = []
        self.offsets = [0] * (len(marked.text) + 1)  # where each character went

    def words(self, start: int, end: int) -> None:
        for found in _WORD_OR_SPACE.finditer(self._marked.text, start, end):
            new = " " if found[0].isspace() else formats.normalize(found[0])
            old = self._marked.places[found.start() : found.end()]
            spread = old if len(new) == len(old) else [old[each * len(old) // len(new)] for each in range(len(new))]
            self.add(*found.span(), new, spread)

    def add(self, start: int, end: int, new: str, places: list[Place]) -> None:
        for offset in range(start, end):
            self.offsets[offset] = len(self.places) + min(offset - start, len(new))
        self.text.append(new)
        self.places += places
        self.offsets[end] = len(self.places)


def _index(tags: list[Tag], offset: int) -> int:
    return bisect_left(tags, offset, key=lambda tag: tag.offset)
