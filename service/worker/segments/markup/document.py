"""A text with markup as its sentences, and the text again with their translations in their places.

All that is not translated stays as it is written: tags, comments, entities, white space between blocks. Which elements
end a sentence, stand in it or are left alone is said by `elements`; of XML's own elements, one that has text beside it
stands in a sentence, and any other is a text by itself. Knows nothing of models or requests.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.messages import Alignment, Elements, Split
from service.worker.segments.markup.entities import encoded
from service.worker.segments.markup.errors import Format
from service.worker.segments.markup.marked import Marked, Place
from service.worker.segments.markup.placing import completed, placed
from service.worker.segments.markup.reading import runs
from service.worker.segments.markup.run import links
from service.worker.segments.protection import Piece, hide, protected
from service.worker.segments.segmentation import Segment, segmented

StandIns = Callable[[str, Sequence[Piece]], Sequence[str]]


def names(text: str, pieces: Sequence[Piece]) -> list[str]:
    """What the model reads in place of each piece of a sentence."""
    return [stand_in for stand_in, _ in hide(text, pieces, text).originals]


@dataclass(frozen=True)
class Translated:
    sentence: Marked  # of a document's, or a part of one
    text: str  # its translation, with its stand-ins
    alignment: Alignment | None = None  # without one, tags go to the relatively same places


@dataclass(frozen=True)
class Document:
    source: str
    format: Format
    sentences: tuple[Marked, ...]  # in the order in which they begin; those in tags and pieces lie within others

    def written(self, translated: Iterable[Translated], space: str = " ") -> str:
        """The source with translations in place of their sentences; `space` is what parts two of a paragraph.

        Sentences may be left out, or be given in parts, which do not overlap: the rest of them stays as it is.
        """
        changes: list[tuple[Place, Translated | None]] = []
        for each in translated:
            sentence = each.sentence
            changes.append((sentence.place, each))
            if sentence.space is not None and bool(space) != (sentence.space[0] < sentence.space[1]):
                changes.append((sentence.space, None))
        changes.sort(key=lambda change: (change[0], change[1] is not None), reverse=True)
        done: list[tuple[Place, str]] = []  # what begins first is last, so that those within another are known before
        for place, change in changes:
            if change is None:
                done.append((place, space))
                continue
            within = []
            while done and done[-1][0][0] < place[1]:
                within.append(done.pop())
            done.append((place, self._sentence(change, _Source(self.source, within))))
        return _Source(self.source, done[::-1]).between(0, len(self.source))

    def _sentence(self, translated: Translated, source: _Source) -> str:
        sentence, text = translated.sentence, translated.text
        if text == sentence.text:
            return source.between(*sentence.place)
        if sentence.quote == "" and any(character.isspace() or character in "\"'=<>`" for character in text):
            return '"' + encoded(text, sentence.written, self.format, '"') + '"'
        text = completed(sentence, text)
        parts, start = [], 0
        for stop, following, place in placed(sentence, text, translated.alignment):
            parts.append(encoded(text[start:stop], sentence.written, self.format, sentence.quote))
            parts.append(source.between(*place))
            start = max(start, following)
        parts.append(encoded(text[start:], sentence.written, self.format, sentence.quote))
        return "".join(parts)


@dataclass(frozen=True)
class _Source:
    """A text with others in place of some of it."""

    text: str
    replaced: list[tuple[Place, str]]  # in their order

    def between(self, start: int, stop: int) -> str:
        parts = []
        for number in range(bisect_left(self.replaced, start, key=lambda each: each[0][0]), len(self.replaced)):
            (first, last), new = self.replaced[number]
            if last > stop:
                break
            parts += [self.text[start:first], new]
            start = last
        return "".join([*parts, self.text[start:stop]])


def parsed(
    text: str,
    format: Format,
    language: str,
    split: Split = "sentences",
    *,
    protect: bool = True,
    known: Elements = Elements(),
    stand_ins: StandIns = names,
) -> Document:
    """Its sentences as `segmented` finds them: none without a letter, and none that ends in a piece.

    With `protect`, the text's own pieces, such as addresses, are left as they are, too. `known` says what elements
    are, before their names do. Raises InvalidRequest where
    the markup is malformed.
    """
    found = []
    for run in runs(text, format, known):
        if protect:
            run = run.keeping((piece.start, piece.end) for piece in protected(run.text))
        found += [sentence.read(stand_ins) for sentence in run.parts(_spans(run, language, split))]
    return Document(text, format, tuple(sorted(found, key=lambda sentence: sentence.place)))


def spans(segments: Iterable[Segment]) -> Iterator[tuple[int, int]]:
    """Where each of them stands in the text that they are of, such as the pieces that `cutting.fitting` makes."""
    stop = 0
    for segment in segments:
        start = stop + len(segment.before)
        stop = start + len(segment.text)
        yield start, stop


def _spans(run: Marked, language: str, split: Split) -> Iterator[tuple[int, int]]:
    for first, last in list(links(run)) or [(0, len(run.text))]:
        pieces = [Piece(each.start - first, each.end - first, "markup") for each in run.pieces_in(first, last)]
        for start, end in spans(segmented(run.text[first:last], language, split, pieces).segments):
            yield first + start, first + end
