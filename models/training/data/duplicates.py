"""Texts that are nearly those of a test, and rows that have been there before.

The first must not be trained on, or a score says what was remembered. Two texts are near-duplicates when their runs of
four letters or digits (shingles; case, punctuation and spaces aside) overlap: Jaccard similarity (Broder 1997) of at
least a threshold. Found by prefix filtering (Chaudhuri, Ganti and Kaushik 2006): in one order of all shingles, the
rarest first, such texts share one of their first few, so that few candidates are compared. Knows nothing of recipes.
"""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

SHINGLE = 4  # characters
_SIGNS = re.compile(r"[\W_]+")  # all but the Unicode categories L and N


def fingerprint(text: str) -> str:
    """Equal for texts that differ only in case, punctuation and spaces."""
    return _SIGNS.sub("", text.casefold())


def hash64(text: str, key: str = "") -> int:
    """The same on every machine; never 0."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, key=key.encode()).digest()
    return int.from_bytes(digest, "little") or 1


class NearDuplicates:
    """Which texts are one of the held-out ones, or nearly. Memory grows with those alone."""

    def __init__(self, texts: Iterable[str], threshold: float = 0.8) -> None:
        self._threshold = threshold
        self._exact = {fingerprint(text) for text in texts} - {""}
        self._texts = sorted(self._exact)
        self._counts = Counter(shingle for text in self._texts for shingle in _shingles(text))
        self._known = frozenset(self._counts)
        self._sizes = array("I")  # of each text, in shingles
        self._by_shingle: dict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(self._texts):
            shingles = _shingles(text)
            self._sizes.append(len(shingles))
            for shingle in self._rarest(shingles, len(shingles)):
                self._by_shingle[shingle].append(number)

    def has(self, print_: str) -> bool:
        """Whether the text of this fingerprint is one."""
        if not print_ or print_ in self._exact:
            return bool(print_)
        shingles = _shingles(print_)
        known = shingles & self._known
        needed = self._needed(len(shingles))
        if len(known) < needed:
            return False  # even a text with all of these would not be like it
        candidates = {
            number for shingle in self._rarest(known, len(shingles)) for number in self._by_shingle.get(shingle, ())
        }
        return any(self._similarity(shingles, known, number) >= self._threshold for number in candidates)

    def _similarity(self, shingles: frozenset[str], known: frozenset[str], number: int) -> float:
        """Jaccard's, of a text that is none of the held-out ones to one of them; 0 where their sizes are too different.

        That a held-out text has a shingle is looked up in the text itself: sets of all would take much memory.
        """
        size, other = len(shingles), self._sizes[number]
        if min(size, other) < self._threshold * max(size, other) - 1e-9:
            return 0.0
        common = sum(map(self._texts[number].__contains__, known))
        return common / (size + other - common)

    def _rarest(self, known: frozenset[str], size: int) -> list[str]:
        """Those of a text's `size` shingles of which near-duplicates have at least one in common.

        The shingles that are not in `known` are the rarest of all: no held-out text has them.
        """
        count = size - self._needed(size) + 1 - (size - len(known))
        return sorted(known, key=lambda shingle: (self._counts[shingle], shingle))[: max(count, 0)]

    def _needed(self, size: int) -> int:
        """Shingles that a text like one of `size` must have in common with it."""
        return math.ceil(self._threshold * size - 1e-9)


class Seen:
    """Remembers 64-bit hashes in 8 bytes a slot: open addressing with linear probing (Knuth 1973, 6.4).

    Doubles up to `most` slots, three quarters of which are filled; from there on new hashes replace old ones, so that
    memory is bounded and only a repetition from very long ago is missed.
    """

    def __init__(self, most: int = 2**26) -> None:  # 512 MiB
        self._most = most
        self._slots = array("Q", bytes(8 * min(most, 2**16)))
        self._filled = 0

    def add(self, hash: int) -> bool:
        """Whether it is new. `hash` is not 0."""
        slots = self._slots
        mask = len(slots) - 1
        slot = hash & mask
        while found := slots[slot]:
            if found == hash:
                return False
            slot = (slot + 1) & mask
        if 4 * self._filled < 3 * len(slots):
            slots[slot] = hash
            self._filled += 1
        elif len(slots) < self._most:
            self._grow()
            return self.add(hash)
        else:
            slots[hash & mask] = hash  # whatever was there is forgotten
        return True

    def _grow(self) -> None:
        old, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        self._filled = 0
        for hash in filter(None, old):
            self.add(hash)


def _shingles(text: str) -> frozenset[str]:
    """A shorter text than a shingle is one."""
    return frozenset([text[start : start + SHINGLE] for start in range(max(len(text) - SHINGLE + 1, 1))])
