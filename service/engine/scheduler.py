"""Decides what the next step does: who is dropped, who is prefilled, who decodes. Never sees a tensor.

First come, first served, but for priorities: one level is worth `LEVEL_S` seconds of waiting, so that nobody waits for
ever. A request joins at the next step with enough free slots, within a budget of prompt tokens, padding included, that
keeps long prompts from stalling the running ones, and leaves at the end of the step that ends it.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from dataclasses import dataclass, field

from service.engine.beams import Branch
from service.engine.prefixes import KnownPrefix, PrefixStore, common_prefix
from service.engine.sequence import Row, Sequence
from service.engine.slots import Copy, Move, SlotTable

# A prefill pass of its own costs about as much as this many padded tokens in a shared one.
PASS_TOKENS = 64
# And as this many decode steps; see `_collects`.
PASS_STEPS = 1.5
COLLECT_S = 0.02
LEVEL_S = 5.0
IDLE_FACTOR = 8  # times the budget of prompt tokens may be read while nobody decodes
SHORTEST_CHUNK = 16  # a shorter one is not worth a pass


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a prompt, or all of it."""

    sequence: Sequence
    start: int
    stop: int

    @property
    def tokens(self) -> list[int]:
        return self.sequence.spec.prompt[self.start : self.stop]

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(slots=True, kw_only=True)
class Plan:
    """One step, in the order in which it is carried out."""

    at: float = 0.0  # time.monotonic() of the decision
    dropped: list[Sequence] = field(default_factory=list)  # cancelled or expired: no further computation
    copies: list[Copy] = field(default_factory=list)
    memory_moves: list[Move] = field(default_factory=list)
    prefill: list[list[Chunk]] = field(default_factory=list)  # batches of similar lengths; one of all, if packed
    decode: list[Row] = field(default_factory=list)  # in the order of their slots, unless packed
    queried: int = 0  # prompt tokens that were looked for in the prefix store
    found: int = 0  # and those that were there


class Scheduler:
    def __init__(
        self,
        *,
        slots: int,
        prefill_tokens: int,
        chunked: bool = False,
        prefixes: PrefixStore | None = None,
        packed: bool = False,
    ) -> None:
        """`chunked`: the model can read a prompt in pieces; `prefixes`, where it can go on from a copied one. `packed`:
        a step takes its rows from anywhere in the cache, and prompts one behind another, without padding."""
        self.prefill_tokens, self.chunked, self.packed = prefill_tokens, chunked, packed
        self.waiting: deque[Sequence] = deque()
        self.rows: SlotTable[Row] = SlotTable(slots, dense=not packed)
        self.running: SlotTable[Sequence] = SlotTable(slots, dense=not packed)  # their slots are those of the memory
        self.prefixes = prefixes
        self._copies: list[Copy] = []
        self._memory_moves: list[Move] = []
        self._mean_output = 16.0  # tokens; a moving average
        self._collecting_since: float | None = None

    def add(self, sequence: Sequence) -> None:
        assert sequence.spec.width <= self.rows.capacity, f"{sequence.spec.width} beams, but {self.rows.capacity} slots"
        insort(self.waiting, sequence, key=turn)

    @property
    def idle(self) -> bool:
        return not self.waiting and not len(self.running)

    def schedule(self, now: float) -> Plan:
        plan = Plan(at=now, dropped=self._drop(now))
        plan.decode = [row for row in self.rows if row.tokens]
        self._prefill(plan)
        plan.copies, self._copies = self._copies, []
        plan.memory_moves, self._memory_moves = self._memory_moves, []
        return plan

    def branch(self, sequence: Sequence, branches: list[Branch]) -> None:
        """Lay out the beams of the next step: the first that continues a beam stays in its slot, the others copy what
        they have not in common with it to the slots of beams that ended."""
        rows = sequence.rows
        before = [row.tokens for row in rows]
        parents = {branch.parent for branch in branches}
        spare = [row for index, row in enumerate(rows) if index not in parents]
        placed: list[Row] = []
        for branch in branches:
            row, history = rows[branch.parent], before[branch.parent]
            if row in placed:
                source, row = row, spare.pop()
                start = sequence.prefilled + common_prefix(row.tokens, history) if row.tokens else 0
                self._copies.append(Copy(source.slot, row.slot, start, sequence.prefilled + len(history)))
            placed.append(row)
        for row, branch in zip(placed, branches, strict=True):
            row.tokens = [*before[branch.parent], branch.token]
        for row in spare:
            row.tokens = []
        sequence.rows = placed + spare

    def release(self, finished: list[Sequence]) -> None:
        """Free the slots of sequences that ended in this step."""
        for sequence in finished:
            self._keep_prefix(sequence)
            self._mean_output += (len(sequence.output) - self._mean_output) / 16
        for row, move in self.rows.remove([row for sequence in finished for row in sequence.rows]):
            self._copies.append(Copy(move.source, move.target, 0, row.filled))
        self._memory_moves += [move for _, move in self.running.remove(finished)]
        for sequence in finished:
            sequence.rows = []

    def clear(self) -> None:
        """Forget everyone, and what the slots hold."""
        self.waiting.clear()
        self.release(list(self.running))
        if self.prefixes is not None:
            self.prefixes.clear()

    def _drop(self, now: float) -> list[Sequence]:
        dead = [
            s
            for s in (*self.waiting, *self.running)
            if s.cancelled_at is not None or (s.spec.deadline is not None and s.spec.deadline <= now)
        ]
        if not dead:
            return []
        for sequence in dead:
            sequence.outcome = "cancelled" if sequence.cancelled_at is not None else "deadline"
        self.waiting = deque(s for s in self.waiting if s.outcome is None)
        self.release([s for s in dead if s.rows])
        return dead

    def _prefill(self, plan: Plan) -> None:
        """Plan the prompts to read now; the first piece is read whatever it costs."""
        chunks: list[Chunk] = []
        budget = self.prefill_tokens
        if not (plan.decode or self.chunked):  # nobody's next token waits: larger batches are cheaper
            budget *= IDLE_FACTOR
        for sequence in self.running:
            if not sequence.ready and (chunk := self._next(sequence, chunks, budget)) is not None:
                chunks.append(chunk)
        collects = self._collects(plan.at)
        while self.waiting and self.rows.free >= self.waiting[0].spec.width and not collects:
            sequence = self.waiting[0]
            slot, common = self._find_prefix(sequence)
            sequence.read = common
            chunk = self._next(sequence, chunks, budget)
            if chunk is None:
                sequence.read = 0
                break
            self.waiting.popleft()
            self.running.add(sequence)
            for row in sequence.admit():
                self.rows.add(row)
            if self.prefixes is not None:
                plan.queried, plan.found = plan.queried + len(sequence.spec.prompt), plan.found + common
            if common:
                self._copies.append(Copy(slot, sequence.rows[0].slot, 0, common))
            chunks.append(chunk)
        for chunk in chunks:
            chunk.sequence.read = chunk.stop
        if chunks:
            plan.prefill = [chunks] if self.packed else batches_by_length(chunks)

    def _collects(self, now: float) -> bool:
        """Whether to let free slots wait for more of them, because a pass for each one that joins costs too much.

        Only when more wait than there is room for, and for a moment. With S slots, outputs of L tokens and a pass that
        costs P steps, letting k slots join at once costs P * S / (L * k) steps a step for the passes, and the k / 2
        slots of S that are free on average: least at k = S * sqrt(2 * P / L).
        """
        free, wanted = self.rows.free, 0
        for sequence in self.waiting:
            wanted += sequence.spec.width
            if wanted > free:
                break
        enough = self.rows.capacity * min(math.sqrt(2 * PASS_STEPS / self._mean_output), 0.5)
        if not free or wanted <= free or free >= enough:
            self._collecting_since = None
            return False
        if self._collecting_since is None:
            self._collecting_since = now
        return now - self._collecting_since < COLLECT_S

    def _next(self, sequence: Sequence, chunks: list[Chunk], budget: int) -> Chunk | None:
        """The sequence's next piece, or None where the budget has no room for it beside `chunks`."""
        left = len(sequence.spec.prompt) - sequence.read
        if self.chunked:
            room = budget - self._cost(chunks)
            if room < min(left, SHORTEST_CHUNK) and chunks:
                return None
            left = min(left, max(room, SHORTEST_CHUNK))
        chunk = Chunk(sequence, sequence.read, sequence.read + left)
        return chunk if not chunks or self._cost([*chunks, chunk]) <= budget else None

    def _cost(self, chunks: list[Chunk]) -> int:
        """Tokens, with what they are padded with."""
        return sum(map(len, chunks)) if self.packed else padded_tokens(batches_by_length(chunks))

    def _find_prefix(self, sequence: Sequence) -> tuple[int, int]:
        if self.prefixes is None:
            return -1, 0
        running = (KnownPrefix(s.rows[0].slot, s.spec.prompt) for s in self.running if s.ready)
        return self.prefixes.find(sequence.spec.prompt, running)

    def _keep_prefix(self, sequence: Sequence) -> None:
        if self.prefixes is None or not sequence.ready or sequence.outcome == "error":
            return
        row = sequence.rows[0]
        tokens = sequence.spec.prompt if sequence.search else sequence.spec.prompt + row.tokens[:-1]
        place = self.prefixes.keep(tokens)
        if place is not None:
            slot, start = place
            self._copies.append(Copy(row.slot, slot, start, len(tokens)))


def turn(sequence: Sequence) -> float:
    """The less, the sooner."""
    return sequence.queued + LEVEL_S * sequence.spec.priority


def batches_by_length(chunks: list[Chunk]) -> list[list[Chunk]]:
    """Cut where padding would cost more than a pass of its own, and between what starts a prompt and what goes on."""
    batches: list[list[Chunk]] = []
    for some in ([c for c in chunks if not c.start], [c for c in chunks if c.start]):
        longest = padding = 0
        for chunk in sorted(some, key=len, reverse=True):
            padding += longest - len(chunk)
            if not longest or padding > PASS_TOKENS:
                batches.append([])
                longest, padding = len(chunk), 0
            batches[-1].append(chunk)
    return batches


def padded_tokens(batches: list[list[Chunk]]) -> int:
    """The longest comes first in a batch."""
    return sum(len(batch) * len(batch[0]) for batch in batches)
