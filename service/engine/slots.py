"""Who holds which cache slot. Running sequences stay at the front, so that a decode batch is a prefix of the cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Move:
    """Copy what slot `source` holds to slot `target`."""

    source: int
    target: int


class SlotTable:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._sequences: list[Sequence] = []  # the index is the slot

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._sequences)

    @property
    def free(self) -> int:
        return self.capacity - len(self)

    def add(self, sequence: Sequence) -> None:
        assert self.free > 0, f"all {self.capacity} slots are taken"
        sequence.slot = len(self._sequences)
        self._sequences.append(sequence)

    def remove(self, sequences: list[Sequence]) -> list[Move]:
        """Free their slots. The moves that close the gaps must be carried out in order, before the next step."""
        moves = []
        for sequence in sorted(sequences, key=lambda s: s.slot or 0, reverse=True):
            hole, last = sequence.slot, self._sequences.pop()
            assert hole is not None, f"{sequence.id} holds no slot"
            if last is not sequence:
                moves.append(Move(len(self._sequences), hole))
                self._sequences[hole] = last
                last.slot = hole
            sequence.slot = None
        return moves
