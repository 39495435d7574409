"""Texts that are nearly those of a test: they must not be trained on, or a score says what was remembered.

Two texts are near-duplicates when their runs of four letters or digits (shingles; case, punctuation and spaces aside)
overlap: Jaccard similarity (Broder 1997) of at least a threshold. Found by prefix filtering (Chaudhuri, Ganti and
Kaushik 2006): in one order of all shingles, the rarest first, such texts share one of their first few, so that few
candidates are compared. Knows nothing of recipes.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

SHINGLE = 4  # characters


def fingerprint(text: str) -> str:
    """Equal for texts that differ only in case, punctuation and spaces."""
    return "".join(c for c in text.casefold() if unicodedata.category(c)[0] in "LN")


class NearDuplicates:
    """`text in near` says whether `text` is one of the held-out texts, or nearly."""

    def __init__(self, texts: Iterable[str], threshold: float = 0.8) -> None:
        self._threshold = threshold
        self._exact = {fingerprint(text) for text in texts} - {""}
        held_out = [_shingles(text) for text in sorted(self._exact)]
        self._counts = Counter(shingle for shingles in held_out for shingle in shingles)
        self._by_shingle: dict[str, list[frozenset[str]]] = defaultdict(list)
        for shingles in held_out:
            for shingle in self._rarest(shingles):
                self._by_shingle[shingle].append(shingles)

    def __contains__(self, text: str) -> bool:
        print_ = fingerprint(text)
        if not print_ or print_ in self._exact:
            return bool(print_)
        shingles = _shingles(print_)
        candidates = {other for shingle in self._rarest(shingles) for other in self._by_shingle.get(shingle, ())}
        return any(_similarity(shingles, other) >= self._threshold for other in candidates)

    def _rarest(self, shingles: frozenset[str]) -> list[str]:
        """Those of which near-duplicates have at least one in common."""
        count = len(shingles) - math.ceil(self._threshold * len(shingles)) + 1
        return sorted(shingles, key=lambda shingle: (self._counts[shingle], shingle))[:count]


def _shingles(text: str) -> frozenset[str]:
    """A shorter text than a shingle is one."""
    return frozenset(text[start : start + SHINGLE] for start in range(max(len(text) - SHINGLE + 1, 1)))


def _similarity(first: frozenset[str], second: frozenset[str]) -> float:
    common = len(first & second)
    return common / (len(first) + len(second) - common)
