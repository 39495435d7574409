"""Who holds which cache slot. What runs stays at the front, so that a decode batch is a prefix of the cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Holder(Protocol):
    slot: int  # there from `add` to `remove`, and at no other time: no missing slot can be taken for somebody's


H = TypeVar("H", bound=Holder)


@dataclass(frozen=True, slots=True)
class Move:
    """What slot `source` holds goes to slot `target`."""

    source: int
    target: int


class SlotTable(Generic[H]):
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._holders: list[H] = []  # the index is the slot

    def __len__(self) -> int:
        return len(self._holders)

    def __iter__(self) -> Iterator[H]:
        return iter(self._holders)

    @property
    def free(self) -> int:
        return self.capacity - len(self)

    def add(self, holder: H) -> None:
        assert self.free > 0, f"all {self.capacity} slots are taken"
        holder.slot = len(self._holders)
        self._holders.append(holder)

    def remove(self, holders: list[H]) -> list[tuple[H, Move]]:
        """Free their slots. Who moves where to close the gaps, to be carried out in order before the next step."""
        moves = []
        for holder in sorted(holders, key=lambda each: each.slot, reverse=True):
            hole, last = holder.slot, self._holders.pop()
            if last is not holder:
                moves.append((last, Move(len(self._holders), hole)))
                self._holders[hole] = last
                last.slot = hole
            del holder.slot
        return moves
