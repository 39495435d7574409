"""Puts words into a translation where the words that they belong to have gone, as the alignment tells.

The alignment is cross-attention: a word goes where the decoder looked at its source most (Luong et al. 2015 replace
unknown words so). Whatever else the translation says stays. Knows nothing of why something is placed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from service.messages import Alignment

MOSTLY = 0.5  # of what a word looked at


@dataclass(frozen=True, slots=True)
class Placed:
    """What is to stand for characters `start` to `end` of the source."""

    start: int
    end: int
    text: str
    first: str  # the same where it begins the translation


def place(translation: str, placed: Iterable[Placed], alignment: Alignment, before: str = "") -> tuple[str, Alignment]:
    """The translation with each of `placed` in the place of the words that are aligned with it, or behind them where
    another is there already; and its alignment then. `alignment` is of what comes after `before`."""
    words = _words(translation, before, alignment)
    if not words:
        return " ".join([translation, *(each.text for each in placed)]).strip(), alignment
    edits: list[tuple[int, int, str]] = []
    for each in placed:
        start, end = _place_of(each, words)
        taken = [edit for edit in edits if edit[0] < end and start < edit[1]]
        if taken:
            edits.append((taken[-1][1], taken[-1][1], f" {each.text}"))
        else:
            edits.append((start, end, each.first if start == 0 else each.text))
    edits.sort(key=lambda edit: edit[:2])
    for start, end, text in reversed(edits):
        translation = translation[:start] + text + translation[end:]
    tokens = _edited(
        alignment.target_tokens, [(start - len(before), end - len(before), text) for start, end, text in edits]
    )
    return translation, replace(alignment, target_tokens=tokens)


def _edited(tokens: Sequence[str], edits: list[tuple[int, int, str]]) -> tuple[str, ...]:
    """What is put in place of characters belongs to the token of the first of them."""
    found = []
    for token, (first, last) in zip(tokens, _places(tokens), strict=True):
        parts, at = [], first
        for start, end, text in edits:
            if start < last and (end > first or start == end == first):
                parts += [token[at - first : max(start, at) - first], text if start >= first else ""]
                at = max(at, min(end, last))
        found.append("".join([*parts, token[at - first :]]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Word:
    start: int
    end: int
    looked: list[float]  # how much at each character of the source, all in all 1


def _words(translation: str, before: str, alignment: Alignment) -> list[_Word]:
    sources, targets = (_places(tokens) for tokens in (alignment.source_tokens, alignment.target_tokens))
    rows = [_by_character(row, sources) for row in alignment.weights]
    found = []
    for match in re.finditer(r"\w+(?:['’-]\w+)*", translation[len(before) :]):
        own = [
            row for row, (start, end) in zip(rows, targets, strict=True) if start < match.end() and match.start() < end
        ]
        if own:
            looked = [sum(column) / len(own) for column in zip(*own, strict=True)]
            found.append(_Word(len(before) + match.start(), len(before) + match.end(), looked))
    return found


def _places(tokens: Sequence[str]) -> list[tuple[int, int]]:
    ends = list(accumulate(map(len, tokens)))
    return [(end - len(token), end) for token, end in zip(tokens, ends, strict=True)]


def _by_character(row: Sequence[float], sources: list[tuple[int, int]]) -> list[float]:
    """Without what it looked at that is no text: the language's tag and the end."""
    total = sum(weight for weight, (start, end) in zip(row, sources, strict=True) if end > start) or 1.0
    return [
        weight / total / (end - start)
        for weight, (start, end) in zip(row, sources, strict=True)
        for _ in range(start, end)
    ]


def _place_of(placed: Placed, words: list[_Word]) -> tuple[int, int]:
    """The word that looked most at it, and its neighbours that looked mostly at it."""
    looked = [sum(word.looked[placed.start : placed.end]) for word in words]
    first = last = max(range(len(words)), key=looked.__getitem__)
    while first > 0 and looked[first - 1] > MOSTLY:
        first -= 1
    while last + 1 < len(words) and looked[last + 1] > MOSTLY:
        last += 1
    return words[first].start, words[last].end
