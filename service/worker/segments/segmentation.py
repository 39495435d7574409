"""A text as the sentences that a translator reads one by one, and what stands between them, which stays as it is.

Lines are kept apart, with their indentation, bullets and numbers. Within a line sentences end where sentencex says
(rules and abbreviations of some hundred languages, in its wheel), with three corrections: quotation marks hide no end,
an end needs white space behind it unless its mark belongs to a script without any, and what follows an abbreviation or
begins with a small letter goes on. Knows nothing of tokens, requests or models.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sentencex

from service.iso639 import language_and_variant
from service.messages import Split
from service.worker.segments.protection import Piece, trimmed

# Indentation, quotation depth, bullets, numbers and signs of headings.
_BEFORE_A_LINE = re.compile(r"\s*(?:(?:[-*+•·‣▪◦–—>]|#{1,6}|\(?(?:\d{1,3}[.)]|[a-z]\)))\s+)*")
_LINE_BREAK = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")
_QUOTES = re.compile(r"[\"“”„«»‟＂「」『』]")
_IN_PARENTHESES = re.compile(r"(?:(?<=[.!?…]\s)|^)\(([^()]*[.!?…])\)")  # a whole sentence
_CLOSING = r"[\"”»{more}'’)\]」』）】]"
_CLOSED = {mark: re.compile(f"(?:{_CLOSING.format(more=more)})*") for mark, more in (("", ""), ("„", "“"))}
_CLOSED["«"] = re.compile(rf"(?:{_CLOSING.format(more='')}|\s»)*")
_ENDS_WITHOUT_SPACE = "。！？｡…"
_ENDS = ".!?…。！？｡؟۔।॥።"
_QUOTED = ("と", "って", "、", "，")  # what goes on after a quotation, in scripts without spaces
# What sentencex takes for the last word of a sentence.
_ABBREVIATIONS = {
    "en": (
        "Mr Mrs Ms Dr Prof St Gen Col Capt Lt Sgt Rev Sen Rep Gov Jr Sr vs No Inc Ltd Co Corp e.g i.e a.m p.m U.S U.K "
        "p pp vol fig sec ch art"
    ),
    "fr": "M MM Mme Mmes Mlle Dr Pr Me Mgr St Ste av bd env ex p pp cf n° art vol chap",
}
_NEVER_LAST = {language: frozenset(words.split()) for language, words in _ABBREVIATIONS.items()}


@dataclass(frozen=True, slots=True)
class Segment:
    before: str  # what stands between it and the one before
    text: str  # to be translated: there is no white space at its ends, and a letter in it
    pieces: tuple[Piece, ...] = ()  # of the text that are not to be translated


@dataclass(frozen=True, slots=True)
class Segmented:
    segments: tuple[Segment, ...]
    after: str  # what stands behind the last; all of a text that has none


def segmented(text: str, language: str, split: Split, pieces: Sequence[Piece] = ()) -> Segmented:
    """`before`, `text` and `after` of all join to `text`. `language` is a code such as `fr` or `pt-BR`; of one that
    sentencex does not know, the rules of most languages hold. `pieces` of the text are not to be translated: no
    sentence ends in one."""
    language = language_and_variant(language)[0]
    outline, readable = _drawn(text, pieces, "X"), _drawn(text, pieces, " ")
    waiting = deque(pieces)
    found, stop = [], 0
    for start, end in _spans(outline, language, split):
        own = []
        while waiting and waiting[0].start < end:
            own.append(waiting.popleft())
        own = [piece for piece in own if piece.start >= start and piece.end <= end]
        first, last = trimmed(text, start, end, own)
        if any(map(str.isalpha, readable[first:last])):
            inner = [
                Piece(each.start - first, each.end - first, each.kind) for each in own if first <= each.start < last
            ]
            found.append(Segment(text[stop:first], text[first:last], tuple(inner)))
            stop = last
    return Segmented(tuple(found), text[stop:])


def _drawn(text: str, pieces: Sequence[Piece], letter: str) -> str:
    """Of equal length, with something simple for the pieces: emoji are where many a sentence ends."""
    parts, end = [], 0
    for piece in pieces:
        mark = "." if piece.kind == "emoji" and letter != " " else letter
        parts += [text[end : piece.start], mark * (piece.end - piece.start)]
        end = piece.end
    return "".join([*parts, text[end:]])


def _spans(text: str, language: str, split: Split) -> Iterator[tuple[int, int]]:
    if split == "none":
        yield _trimmed(text, 0, len(text))
        return
    for start, end in _lines(text):
        if split == "lines":
            yield start, end
        else:
            yield from _sentences(text, start, end, language)


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """What each line says, without what stands around it."""
    start = 0
    for match in [*_LINE_BREAK.finditer(text), None]:
        end = len(text) if match is None else match.start()
        before = _BEFORE_A_LINE.match(text, start, end)
        assert before is not None, "it matches nothing, too"
        yield _trimmed(text, before.end(), end)
        start = len(text) if match is None else match.end()


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - (len(part) - len(part.rstrip()))


def _sentences(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    line, begin = text[start:end], 0
    for stop in [*_ends(line, language), len(line)]:
        first, last = _trimmed(line, begin, stop)
        if first < last:
            yield start + first, start + last
        begin = stop


def _ends(line: str, language: str) -> Iterator[int]:
    """Where sentences end within a line, the closing quotation marks behind them included."""
    if not any(mark in line for mark in _ENDS):
        return
    # Of equal length: an end within a quotation is an end.
    open_line = _QUOTES.sub(" ", _IN_PARENTHESES.sub(r" \1 ", line))
    for boundary in sentencex.get_sentence_boundaries(language, open_line)[:-1]:
        said = open_line[boundary["start_index"] : boundary["end_index"]].rstrip()
        end = boundary["start_index"] + len(said)
        stop = _closed(line, end)
        if not _goes_on(line, end, stop, language):
            yield stop


def _closed(line: str, end: int) -> int:
    """Behind the marks that close what was open at `end`."""
    opened = next(
        (mark for mark, closing in ("«»", "„“") if line.count(mark, 0, end) > line.count(closing, 0, end)), ""
    )
    closing = _CLOSED[opened].match(line, end)
    assert closing is not None, "it matches nothing, too"
    return closing.end()


def _goes_on(line: str, end: int, stop: int, language: str) -> bool:
    """Whether the sentence that may end at `end`, with closing marks up to `stop`, does not."""
    rest, mark = line[stop:], line[end - 1]
    if rest and not rest[0].isspace() and mark not in _ENDS_WITHOUT_SPACE:
        return True
    if rest.lstrip().lstrip("\"“”„«»‟＂'‘([")[:1].islower() and (mark != "!" or stop > end):
        return True
    if stop > end and rest.startswith(_QUOTED):
        return True
    words = line[:end].rstrip(".").rsplit(maxsplit=1)
    return mark == "." and bool(words) and words[-1].lstrip("(\"“«'") in _NEVER_LAST.get(language, ())
