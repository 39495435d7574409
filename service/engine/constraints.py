"""Beam search whose results have given phrases in them: dynamic beam allocation (Post and Vilar 2018, "Fast lexically
constrained decoding with dynamic beam allocation for neural machine translation").

The beams are shared out among banks, by how many of the phrases' tokens they have: so those that have said some, which
costs them, need not compete with those that have not. A beam ends only when it has all of them. Knows nothing of
tensors, slots or text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.engine.beams import Beams, BeamSearch, Branch, Hypothesis
from service.engine.loops import LoopGuard


@dataclass(frozen=True, slots=True)
class Phrase:
    """Tokens that the output must have in a row."""

    tokens: tuple[int, ...]
    first: tuple[int, ...]  # the same where the output begins with it: no space stands in front


@dataclass(frozen=True, slots=True)
class Progress:
    """Which phrases a beam has said, and which it is in the middle of."""

    said: frozenset[int] = frozenset()
    current: int | None = None
    rest: tuple[int, ...] = ()  # of the current one


class ConstrainedSearch(BeamSearch):
    """`phrases` that are equal are to be there so many times. `begins`: nothing stands in front of the output."""

    def __init__(
        self,
        settings: Beams,
        phrases: tuple[Phrase, ...],
        *,
        begins: bool,
        end_id: int | None,
        other_ends: tuple[int, ...] = (),
        max_new_tokens: int,
        begun: int = 0,
        guard: LoopGuard | None = None,
    ) -> None:
        super().__init__(
            settings, end_id=end_id, other_ends=other_ends, max_new_tokens=max_new_tokens, begun=begun, guard=guard
        )
        self._phrases, self._begins = phrases, begins
        self.tokens = sum(len(phrase.tokens) for phrase in phrases)
        self._progress = [Progress()]  # of each beam

    def wanted(self) -> list[list[int]]:
        return [list(self._on(progress)) for progress in self._progress]

    def wants_all(self, beams: list[list[int]]) -> bool:
        return True

    def advance(self, beams: list[list[int]], branches: list[Branch]) -> list[Branch]:
        """`branches` are all that are possible, those with the wanted tokens among them."""
        steps = [(self._on(progress), Progress(progress.said)) for progress in self._progress]
        banks: list[list[tuple[Branch, Progress]]] = [[] for _ in range(self.tokens + 1)]
        for branch in branches:
            on, off = steps[branch.parent]
            after = on.get(branch.token, off)
            if branch.token not in self.ends or self._has_all(after):
                banks[self._bank(after)].append((branch, after))
        self._length += 1
        full = self._length >= self.max_new_tokens
        going_on: list[tuple[Branch, Progress]] = []
        for bank, share in zip(banks, self._shares([len(bank) for bank in banks]), strict=True):
            bank.sort(key=_total, reverse=True)
            self._finish(beams, [each for each in bank[:share] if full or each[0].token in self.ends])
            going_on += [] if full else [each for each in bank if each[0].token not in self.ends][:share]
        going_on = sorted(going_on, key=_total, reverse=True)[: self.settings.width]
        self.totals = [branch.total for branch, _ in going_on]
        self._progress = [progress for _, progress in going_on]
        return [branch for branch, _ in going_on] if self._open() else []

    def _on(self, progress: Progress) -> dict[int, Progress]:
        """Each token that goes on with a phrase or begins one, and how far a beam is with it."""
        found: dict[int, Progress] = {}
        if progress.current is not None:
            found[progress.rest[0]] = self._at(progress.said, progress.current, progress.rest[1:])
        for number, phrase in enumerate(self._phrases):
            if number not in progress.said:  # the current one may be begun again
                tokens = phrase.first if self._begins and not self._length else phrase.tokens
                found.setdefault(tokens[0], self._at(progress.said, number, tokens[1:]))
        return found

    @staticmethod
    def _at(said: frozenset[int], number: int, rest: tuple[int, ...]) -> Progress:
        return Progress(said, number, rest) if rest else Progress(said | {number})

    def _has_all(self, progress: Progress) -> bool:
        return len(progress.said) == len(self._phrases)

    def _bank(self, progress: Progress) -> int:
        """How many of the phrases' tokens are there."""
        said = sum(len(self._phrases[number].tokens) for number in progress.said)
        if progress.current is None:
            return said
        return said + max(len(self._phrases[progress.current].tokens) - len(progress.rest), 1)

    def _shares(self, sizes: list[int]) -> list[int]:
        """How many beams each bank gets: as many as the others, the last what remains; what one cannot use goes to the
        banks before it, and then to those behind."""
        width, count = self.settings.width, len(sizes)
        shares = [width // count] * count
        shares[-1] += width % count
        used = [min(share, size) for share, size in zip(shares, sizes, strict=True)]
        spare = width - sum(used)
        for bank in reversed(range(count)):
            more = min(spare, sizes[bank] - used[bank])
            used[bank] += more
            spare -= more
        return used

    def _finish(self, beams: list[list[int]], ended: list[tuple[Branch, Progress]]) -> None:
        """Whatever lacks a phrase, for want of room, is worse than all that have them."""
        for branch, progress in ended:
            score = self._score(branch.total, self._length) if self._has_all(progress) else -math.inf
            self.finished.append(Hypothesis([*beams[branch.parent], branch.token], score))
        self.finished = sorted(self.finished, key=lambda each: each.score, reverse=True)[: self.settings.width]


def _total(candidate: tuple[Branch, Progress]) -> float:
    return candidate[0].total
