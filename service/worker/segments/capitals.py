"""Sentences that are written in capitals: what a model reads in their place, and how their translation is written.

Models learn from sentences in small letters and know hardly any word in capitals. Every text keeps its length, so that
places in it stay what they are. Knows nothing of tokens, requests or models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

SHORTEST = 5  # letters of a word that stands alone: shorter ones are as likely an abbreviation
_WORD = re.compile(r"[^\W\d_]{2,}")
_BEGIN = re.compile(r"(?:^\W*|[.!?…]\s+\W*)[^\W\d_]")
_ENGLISH_I = re.compile(r"\bi\b")


def in_capitals(sentence: str, kept: Collection[str] = ()) -> bool:
    """Whether all its letters are, in a script that has small ones. What is `kept` may be written in any way."""
    rest = " ".join(text for text, stays in _parts(sentence, kept) if not stays)
    if any(letter.isalpha() and letter == letter.lower() for letter in rest):
        return False
    words = _WORD.findall(rest)
    return len(words) > 1 or any(len(word) >= SHORTEST for word in words)


def lowered(sentence: str, language: str, kept: Collection[str] = ()) -> str:
    """In small letters, as it would begin a text."""
    written = _written(sentence, str.lower, kept)
    if language == "en":
        written = _ENGLISH_I.sub("I", written)
    return _BEGIN.sub(lambda match: match[0][:-1] + _single(str.upper, match[0][-1]), written)


def raised(translation: str, kept: Collection[str] = ()) -> str:
    """In capitals."""
    return _written(translation, str.upper, kept)


def _written(text: str, how: Callable[[str], str], kept: Collection[str]) -> str:
    parts = (part if stays else "".join(_single(how, each) for each in part) for part, stays in _parts(text, kept))
    return "".join(parts)


def _single(how: Callable[[str], str], letter: str) -> str:
    """ß and some others would become two."""
    return changed if len(changed := how(letter)) == 1 else letter


def _parts(text: str, kept: Collection[str]) -> Iterator[tuple[str, bool]]:
    """In turns what is not kept, perhaps nothing, and what is."""
    parts = re.split(f"({'|'.join(map(re.escape, kept))})", text) if kept else [text]
    for number, part in enumerate(parts):
        yield part, number % 2 == 1
