"""Prefixes of prompts that were read before: what finished sequences left in slots of their own, to be copied.

Copying the keys and values of a token costs thousands of times less than computing them. A store of whole sequences,
the least recently used one making room; also the running ones are offered. Knows nothing of tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHORTEST = 16  # tokens; below, a hit would save less than it costs to look for it


@dataclass(frozen=True, slots=True)
class KnownPrefix:
    """A slot and the tokens whose keys and values it holds."""

    slot: int
    tokens: list[int]


class PrefixStore:
    def __init__(self, slots: range) -> None:
        """`slots` are the store's own, behind those of the running sequences. None: nothing is kept."""
        self._free = list(slots)
        self._held: list[KnownPrefix] = []  # least recently used first

    def __len__(self) -> int:
        return len(self._held)

    def find(self, prompt: list[int], running: Iterable[KnownPrefix] = ()) -> tuple[int, int]:
        """The slot with the longest common prefix, and its length; 0 where it is not worth it. The prompt's last token
        is never part of it: its output is what is asked for."""
        beginning, most = prompt[:SHORTEST], len(prompt) - 1
        if most < SHORTEST:
            return -1, 0
        offers = [held for held in (*self._held, *running) if held.tokens[:SHORTEST] == beginning]
        if not offers:
            return -1, 0
        best = max(offers, key=lambda held: common_prefix(held.tokens, prompt))
        if best in self._held:
            self._held.remove(best)
            self._held.append(best)
        return best.slot, min(common_prefix(best.tokens, prompt), most)

    def keep(self, tokens: list[int]) -> tuple[int, int] | None:
        """Where to copy a finished sequence, and from which position on; None where that is not worth it."""
        if len(tokens) <= SHORTEST or not (self._free or self._held):
            return None
        for held in self._held:
            common = common_prefix(held.tokens, tokens)
            if common == len(tokens):
                return None  # it is there
            if common == len(held.tokens):  # it goes on where this one ended
                self._held.remove(held)
                self._held.append(KnownPrefix(held.slot, tokens))
                return held.slot, common
        slot = self._free.pop() if self._free else self._held.pop(0).slot
        self._held.append(KnownPrefix(slot, tokens))
        return slot, 0

    def clear(self) -> None:
        """Forget everything: the weights have changed, or the slots' content cannot be trusted."""
        self._free += [held.slot for held in self._held]
        self._held.clear()


def common_prefix(first: list[int], second: list[int]) -> int:
    """Number of equal tokens at the start, by bisection: comparing slices is quicker than comparing tokens."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
