"""A segment that is longer than the model reads, as pieces that are not: cut where a clause ends, else between words,
else anywhere. Knows nothing of requests or models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from models import formats
from models.tokenizer import Tokenizer
from service.worker.segments.segmentation import Segment

_CLAUSE_END = re.compile(r"(?<=[,;:])\s+|(?<=[，、；：])|\s+(?=[–—-]\s)")
_SPACE = re.compile(r"\s+")
_LEAST = 0.25  # a clause that ends sooner leaves too much room unused, as a share of it


def fitting(
    segment: Segment, read: Callable[[str], list[int]], tokenizer: Tokenizer, most: int
) -> Iterator[tuple[Segment, list[int]]]:
    """Pieces that `read` makes at most `most` tokens of, with these; they join to the segment as the model reads it.

    The time grows with the length alone. A character that has more tokens is a piece of its own.
    """
    before, rest = segment.before, formats.normalize(segment.text)
    while rest:
        stop, following, ids = _cut(rest, read, tokenizer, most)
        yield Segment(before, rest[:stop]), ids
        before, rest = rest[stop:following], rest[following:]


def _cut(text: str, read: Callable[[str], list[int]], tokenizer: Tokenizer, most: int) -> tuple[int, int, list[int]]:
    """Where the first piece ends and the next one begins, and the tokens of the first."""
    window = text[: most * tokenizer.longest_token + 1]
    ids = read(window)
    if len(ids) <= most and len(window) == len(text):
        return len(text), len(text), ids
    room = _characters(tokenizer, ids[:most])
    while True:
        stop, following = _place(window, max(room, 1))
        ids = read(window[:stop])
        if len(ids) <= most or stop == 1:  # nearly always: what is cut may be read otherwise
            return stop, following, ids
        room = stop - 1


def _characters(tokenizer: Tokenizer, ids: list[int]) -> int:
    detokenizer = tokenizer.detokenizer()
    return sum(len(detokenizer.push(token)) for token in ids)


def _place(text: str, room: int) -> tuple[int, int]:
    """The last good place to cut within the first `room` characters."""
    for pattern, least in ((_CLAUSE_END, room * _LEAST), (_SPACE, 0)):
        places = [match.span() for match in pattern.finditer(text, 0, room + 1) if least < match.start() <= room]
        if places:
            return places[-1]
    return room, room
