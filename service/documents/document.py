"""A file as the texts to be translated in it, and the file again with their translations in place of them.

A document is one or more sources (a file's text, or the parts of an archive). A piece is a stretch of a source that
holds one text; pieces may lie within each other, as an image's description lies within a sentence. What is no piece,
and every piece that has no translation or its own text for one, stays as it is, to the character. Knows no format.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Format = Literal["text", "html"]  # of a text, as the translate request names it
Rendered = Callable[[int, int], str]  # a stretch of the source, with what is translated within it


class DocumentError(ValueError):
    """The file is not what its ending says, or is asked for what it does not have."""


def check_marks(count: int, most: int | None) -> None:
    if most is not None and count > most:
        raise DocumentError(f"it has {count:,} lines and tags, the limit is {most:,}: it may be sent in parts")


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    format: Format
    place: str  # in the file, for people


@dataclass(frozen=True, slots=True)
class Problem:
    """What is left untranslated, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Written:
    data: bytes
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]  # what is otherwise than it was, such as the encoding


class Piece(Protocol):
    """`start` and `end` are of its source."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def text(self) -> Text: ...

    def written(self, translation: str, rendered: Rendered) -> str:
        """What stands between `start` and `end` then; DocumentError for a translation that lost markup."""


class Lines:
    """Where lines begin, to say where something is."""

    def __init__(self, source: str) -> None:
        self._starts = [0]
        for number, line in enumerate(source.splitlines(keepends=True)):
            self._starts.append(self._starts[number] + len(line))

    def place(self, offset: int) -> str:
        return f"line {max(bisect_right(self._starts, offset), 1)}"


class Source:
    """A text and the pieces in it. Those without a letter are none: they would come back as they are."""

    def __init__(self, text: str, pieces: Sequence[Piece]) -> None:
        self.text = text
        kept = [piece for piece in pieces if any(map(str.isalpha, piece.text.text))]
        self.pieces = sorted(kept, key=lambda piece: (piece.start, -piece.end))

    def written(self, translations: Sequence[str | None]) -> tuple[str, list[Problem]]:
        starts = [piece.start for piece in self.pieces]
        problems: list[Problem] = []

        def rendered(start: int, end: int) -> str:
            parts, at = [], start
            for index in range(bisect_left(starts, start), bisect_left(starts, end)):
                piece, translation = self.pieces[index], translations[index]
                if piece.start < at or piece.end > end or translation in (None, piece.text.text):
                    continue
                assert translation is not None
                try:
                    changed = piece.written(translation, rendered)
                except DocumentError as error:
                    problems.append(Problem(piece.text.place, str(error)))
                    continue
                parts += [self.text[at : piece.start], changed]
                at = piece.end
            return "".join([*parts, self.text[at:end]])

        return rendered(0, len(self.text)), problems


Packed = Callable[[Sequence[str]], tuple[bytes, tuple[str, ...]]]  # the sources' texts -> a file, and notes


@dataclass(frozen=True)
class Document:
    sources: Sequence[Source]
    packed: Packed
    problems: tuple[Problem, ...] = ()  # what cannot be read, and stays as it is
    texts: tuple[Text, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", tuple(piece.text for source in self.sources for piece in source.pieces))

    def written(self, translations: Sequence[str | None]) -> Written:
        """The file with a translation for each of `texts`, in their order; None leaves one as it is."""
        if len(translations) != len(self.texts):
            raise ValueError(f"{len(translations)} translations for {len(self.texts)} texts")
        contents, problems, at = [], [*self.problems], 0
        for source in self.sources:
            content, lost = source.written(translations[at : at + len(source.pieces)])
            contents.append(content)
            problems += lost
            at += len(source.pieces)
        data, notes = self.packed(contents)
        return Written(data, tuple(problems), notes)
