"""Whether an output has begun to say the same again and again. Plain Python over token ids.

A loop is a block of tokens that comes many times in a row at the end, more often than anything does in the prompt: who
laughs for long in the source may laugh in the translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_BLOCK = 16  # tokens
REPEATS = 4  # of a block, at least
LEAST = 12  # tokens that they make together, at least
LOOK_EVERY = 8  # tokens: to look costs about what accepting one does


@dataclass(frozen=True, slots=True)
class LoopGuard:
    allowed: int  # tokens of the longest run of equal blocks that the prompt has itself

    @classmethod
    def of(cls, prompt: Sequence[int]) -> LoopGuard:
        return cls(max(_longest_run(prompt, block) for block in range(1, LONGEST_BLOCK + 1)))

    def looks(self, tokens: Sequence[int]) -> bool:
        """Whether it is time to look, for those who ask after each token."""
        return len(tokens) % LOOK_EVERY == 0

    def sees(self, tokens: Sequence[int]) -> bool:
        """Whether they end in a loop."""
        count = len(tokens)
        for block in range(1, LONGEST_BLOCK + 1):
            run = max(LEAST, REPEATS * block, 2 * self.allowed)
            if run <= count and tokens[count - run : count - block] == tokens[count - run + block :]:
                return True
        return False


def _longest_run(tokens: Sequence[int], block: int) -> int:
    """Tokens of the longest part in which each is equal to the one `block` before; 0 where none is."""
    longest = run = 0
    for one, other in zip(tokens, tokens[block:], strict=False):
        run = run + 1 if one == other else 0
        longest = max(longest, run)
    return longest + block if longest >= block else 0
