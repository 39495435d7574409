"""Whether an output says the same over and over, as a decoder does that finds no end: a rule on texts alone.

An output loops where one of these holds:

- a unit of one character or more comes more than 5 times in a row, white space aside ("SIIIIIIN", "hahahahahaha"); of
  equal digits every tenth counts, for a number may end in many zeros;
- a word comes more than 4 times in a row, punctuation aside ("no, no, no, no, no");
- two words or more come more than twice in a row ("I don't know. I don't know. I don't know.");
- it has more than 6 characters for each of its source, and 40 more: it rambles on.

What repeats itself twice as often as its source is no loop: "ㅋㅋㅋㅋㅋㅋ" is "hahahahahaha". A loop counts wherever it
stands, for many come to an end after all. The limits leave room for what people say: "very, very good", "ha ha ha",
"ㅋㅋㅋㅋㅋ". Korean needs a third of the characters that English does, and emoji and abbreviations fewer; no text needs
less than a sixth, but for those 40.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from models import formats

MOST_UNITS, MOST_WORDS, MOST_PHRASES = 5, 4, 2  # times in a row that are no loop
OF_SOURCE = 2  # nor are so many for each time in the source
LONGEST_RATIO, LONGEST_MORE = 6, 40  # characters


def loops(source: str, output: str) -> bool:
    source, output = formats.normalize(source).casefold(), formats.normalize(output).casefold()
    own = OF_SOURCE * max(_units(source), _words_alike(source))  # laughter is one word in one language, five in another
    return (
        _units(output) > max(MOST_UNITS, own)
        or _words_alike(output) > max(MOST_WORDS, own)
        or _phrases(output) > max(MOST_PHRASES, OF_SOURCE * _phrases(source))
        or len(output) > LONGEST_RATIO * len(source) + LONGEST_MORE
    )


def longest_run(items: Sequence[str], shortest: int = 1, longest: int | None = None) -> int:
    """How often a unit of `shortest` to `longest` items comes in a row, at most; 1 where none does, 0 of no items."""
    most = 1 if items else 0
    for width in range(shortest, len(items) if longest is None else longest + 1):
        if len(items) // width <= most:
            break
        equal = 0  # items in a row that come again `width` places on: `width` of them are a repetition
        for item, later in zip(items, items[width:], strict=False):
            equal = equal + 1 if item == later else 0
            most = max(most, 1 + equal // width)
    return most


def _units(text: str) -> int:
    return longest_run(re.sub(r"(\d)\1{0,9}", r"\1", "".join(text.split())))


def _words_alike(text: str) -> int:
    return longest_run(_words(text), longest=1)


def _phrases(text: str) -> int:
    """Of two words or more; one that is said again and again is no phrase."""
    return longest_run([word for word, _ in groupby(_words(text))], shortest=2)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)
