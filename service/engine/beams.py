"""Beam search as bookkeeping: from the best branches of all beams to the beams of the next step.

Batch-independent and plain Python; equal to `transformers`' `generate` in which candidates it keeps, how it scores
finished ones (sum of log-probabilities / tokens ** length penalty; Wu et al. 2016 without the coverage term) and when
it stops. Knows nothing of tensors, slots or of other requests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from service.engine.loops import LoopGuard

Continuation = tuple[int, float]  # a token, and its log-probability after a beam


@dataclass(frozen=True, slots=True, kw_only=True)
class Beams:
    """How a beam search is done, as `transformers` defines it. Checked in `decoding`."""

    width: int  # beams that run side by side, each in a slot
    results: int = 1  # how many of the best finished ones come back; at most `width`
    length_penalty: float = 1.0  # a score is the sum of log-probabilities / number of tokens ** this
    early_stopping: bool | Literal["never"] = False  # true: as soon as `width` are finished; "never": when none can win


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A whole output, its end token included, and its score."""

    tokens: list[int]
    score: float


class Branch(NamedTuple):
    """What may be a beam of the next step: which of the last step's it continues, and with what."""

    parent: int
    token: int
    total: float  # sum of log-probabilities


class BeamSearch:
    def __init__(
        self,
        settings: Beams,
        *,
        end_id: int | None,
        other_ends: tuple[int, ...] = (),
        max_new_tokens: int,
        begun: int = 0,
        guard: LoopGuard | None = None,
    ) -> None:
        """`begun`: tokens that every result begins with, beside its own. `guard`: a beam that is in a loop may only
        end."""
        self.settings, self.max_new_tokens, self.guard = settings, max_new_tokens, guard
        self.ends = frozenset(other_ends if end_id is None else (end_id, *other_ends))
        self.finished: list[Hypothesis] = []  # best first, at most `width`
        self._begun = begun
        self.totals = [0.0]  # of the beams, best first; one until the first step
        self._length = 0  # of the beams, in tokens

    @property
    def beams(self) -> int:
        """That are at work."""
        return len(self.totals)

    @property
    def candidates(self) -> int:
        """Branches that `advance` needs, so that it can go on when every beam's best are its ends."""
        return max(2, 1 + len(self.ends)) * self.settings.width

    def wanted(self) -> list[list[int]]:
        """Of each beam, tokens whose log-probability `advance` needs however low it is."""
        return [[] for _ in self.totals]

    def wants_all(self, beams: list[list[int]]) -> bool:
        """Whether `advance` needs all that is `possible`, and not the best `candidates` of these alone."""
        return any(map(self._loops, beams))

    def advance(self, beams: list[list[int]], branches: list[Branch]) -> list[Branch]:
        """The next step's beams, best first; none when the search is over.

        `beams` are the tokens of each beam so far. Of equal `branches`, the first is the better one.
        """
        width = self.settings.width
        candidates = sorted(branches, key=_total, reverse=True)[: self.candidates]
        self._length += 1
        full = self._length >= self.max_new_tokens
        # Only the best `width` may finish: those after them are there for the search to go on with.
        ended = [branch for branch in candidates[:width] if full or branch.token in self.ends]
        self.finished += [
            Hypothesis([*beams[branch.parent], branch.token], self._score(branch.total, self._length))
            for branch in ended
        ]
        self.finished = sorted(self.finished, key=lambda hypothesis: hypothesis.score, reverse=True)[:width]
        going_on = [] if full else [branch for branch in candidates if branch.token not in self.ends][:width]
        self.totals = [branch.total for branch in going_on]
        return going_on if self._open() else []

    def possible(self, beams: list[list[int]], continuations: list[list[Continuation]]) -> Iterator[Branch]:
        """Of the best continuations of each beam."""
        for parent, (total, row) in enumerate(zip(self.totals, continuations, strict=True)):
            loops = self._loops(beams[parent])
            for token, logprob in row:
                if logprob > -math.inf and (token in self.ends or not loops):  # what is ruled out is infinitely bad
                    yield Branch(parent, token, total + logprob)

    def _loops(self, beam: list[int]) -> bool:
        return self.guard is not None and self.guard.looks(beam) and self.guard.sees(beam)

    def results(self, beams: list[list[int]]) -> list[Hypothesis]:
        """As many of the finished ones as were asked for; the best beam as it stands where none could go on."""
        return self.finished[: self.settings.results] or [Hypothesis(beams[0], -math.inf)]

    def _open(self) -> bool:
        """Whether a running beam may still become one of the results."""
        if not self.totals or len(self.finished) < self.settings.width:
            return bool(self.totals)
        if self.settings.early_stopping is True:
            return False
        # With a positive penalty a score may grow with the length: "never" reckons with the longest there can be.
        hopeful = self.settings.early_stopping == "never" and self.settings.length_penalty > 0
        length = self.max_new_tokens if hopeful else self._length
        return self._score(self.totals[0], length) > self.finished[-1].score

    def _score(self, total: float, length: int) -> float:
        return total / (self._begun + length) ** self.settings.length_penalty


def _total(branch: Branch) -> float:
    return branch.total
