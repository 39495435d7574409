"""A translation laid out over as many lines as its source had, in the same proportions. Knows no format."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

# Where a line may break: at a space, and on either side of what is written without any. A tag is never broken.
_TOKENS = re.compile(r"(?P<tag><[^>]*>)|(?P<space>[ \t]+)|(?P<character>.)", re.DOTALL)
_UNSPACED = re.compile(r"[぀-ヿ㐀-䶿一-鿿、。，！？]")


def is_unspaced(character: str) -> bool:
    """Whether its script writes no spaces between words."""
    return _UNSPACED.fullmatch(character) is not None


def spread(text: str, lengths: Sequence[int], *, tagged: bool = False) -> list[str]:
    """`text` as `len(lengths)` parts whose lengths are to each other as `lengths`, without the spaces between them.

    A text of fewer words leaves the last parts empty. In a `tagged` text, tags have no length.
    """
    if len(lengths) < 2:
        return [text]
    places, total = _places(text, tagged)
    scale = total / max(sum(lengths) + len(lengths) - 1, 1)
    parts, begin, first, wanted = [], 0, 0, -1
    for index, length in enumerate(lengths[:-1]):
        wanted += length + 1
        # Each of the lines that follow keeps a place to break at, as far as there are enough of them.
        last = max(len(places) - (len(lengths) - 2 - index), first + 1)
        chosen = _nearest([place[0] for place in places[first:last]], wanted * scale)
        if chosen is None:
            parts.append(text[begin:])
            begin = len(text)
            continue
        _, stop, behind = places[first + chosen]
        parts.append(text[begin:stop])
        begin, first = behind, first + chosen + 1
    return [*parts, text[begin:]]


def _places(text: str, tagged: bool) -> tuple[list[tuple[int, int, int]], int]:
    """Where lines may break: how much is said before, where a line stops, where the next begins. And the total."""
    places, said, before = [], 0, ""
    for token in _TOKENS.finditer(text):
        if token["tag"] and tagged:
            continue
        if token["space"]:
            if token.start() > 0 and token.end() < len(text):
                places.append((said, token.start(), token.end()))
        elif before and not before.isspace() and is_unspaced(before) and token[0][0] not in "、。，！？）」』":
            places.append((said, token.start(), token.start()))
        said += len(token[0])
        before = token[0][-1]
    return places, said


def _nearest(offsets: Sequence[int], wanted: float) -> int | None:
    if not offsets:
        return None
    index = bisect_left(offsets, wanted)
    around = [each for each in (index - 1, index) if 0 <= each < len(offsets)]
    return min(around, key=lambda each: abs(offsets[each] - wanted))
