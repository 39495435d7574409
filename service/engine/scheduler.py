"""Decides what the next step does: who is dropped, who is prefilled, who decodes. Never sees a tensor.

First come, first served. A request joins at the next step with a free slot, within a budget of prompt tokens that keeps
long prompts from stalling the running ones, and leaves at the end of the step that ends it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from service.engine.sequence import Sequence
from service.engine.slots import Move, SlotTable

# A prefill pass of its own costs about as much as this many padded tokens in a shared one.
PASS_TOKENS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One step, in the order in which it is carried out."""

    at: float = 0.0  # time.monotonic() of the decision
    dropped: list[Sequence] = field(default_factory=list)  # cancelled or expired: no further computation
    moves: list[Move] = field(default_factory=list)
    prefill: list[list[Sequence]] = field(default_factory=list)  # batches of similar prompt lengths
    decode: list[Sequence] = field(default_factory=list)  # in the order of their slots, from slot 0


class Scheduler:
    def __init__(self, *, slots: int, prefill_tokens: int) -> None:
        self.prefill_tokens = prefill_tokens
        self.waiting: deque[Sequence] = deque()
        self.running = SlotTable(slots)
        self._moves: list[Move] = []

    def add(self, sequence: Sequence) -> None:
        self.waiting.append(sequence)

    @property
    def idle(self) -> bool:
        return not self.waiting and not len(self.running)

    def schedule(self, now: float) -> Plan:
        dropped = self._drop(now)
        decode = list(self.running)
        admitted = self._admit()
        moves, self._moves = self._moves, []
        return Plan(at=now, dropped=dropped, moves=moves, prefill=batches_by_length(admitted), decode=decode)

    def release(self, finished: list[Sequence]) -> None:
        """Free the slots of sequences that ended in this step."""
        self._moves += self.running.remove(finished)

    def _drop(self, now: float) -> list[Sequence]:
        dead = [
            s
            for s in (*self.waiting, *self.running)
            if s.cancelled_at is not None or (s.deadline is not None and s.deadline <= now)
        ]
        if not dead:
            return []
        for sequence in dead:
            sequence.outcome = "cancelled" if sequence.cancelled_at is not None else "deadline"
        self.waiting = deque(s for s in self.waiting if s.outcome is None)
        self.release([s for s in dead if s.slot is not None])
        return dead

    def _admit(self) -> list[Sequence]:
        admitted: list[Sequence] = []
        budget = self.prefill_tokens
        while self.waiting and self.running.free and (len(self.waiting[0].prompt) <= budget or not admitted):
            sequence = self.waiting.popleft()
            budget -= len(sequence.prompt)
            self.running.add(sequence)
            admitted.append(sequence)
        return admitted


def batches_by_length(sequences: list[Sequence]) -> list[list[Sequence]]:
    """Cut where padding would cost more than a pass of its own."""
    batches: list[list[Sequence]] = []
    longest = padding = 0
    for sequence in sorted(sequences, key=lambda s: len(s.prompt), reverse=True):
        padding += longest - len(sequence.prompt)
        if not batches or padding > PASS_TOKENS:
            batches.append([])
            longest, padding = len(sequence.prompt), 0
        batches[-1].append(sequence)
    return batches
