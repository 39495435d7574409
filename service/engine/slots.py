"""Who holds which cache slot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar


class Holder(Protocol):
    slot: int  # there from `add` to `remove`, and at no other time: no missing slot can be taken for somebody's


H = TypeVar("H", bound=Holder)


@dataclass(frozen=True, slots=True)
class Move:
    """What slot `source` holds goes to slot `target`."""

    source: int
    target: int


class Copy(NamedTuple):
    """Positions `start` to `stop` - 1 of slot `source` go to slot `target`."""

    source: int
    target: int
    start: int
    stop: int


class SlotTable(Generic[H]):
    def __init__(self, capacity: int, *, dense: bool = True) -> None:
        """`dense`: what runs stays at the front, so that a decode batch is a prefix of the cache. Otherwise whoever has
        a slot keeps it."""
        self.capacity, self.dense = capacity, dense
        self._held: dict[int, H] = {}
        self._free = list(reversed(range(capacity)))  # the next one last; if dense, it follows those held

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[H]:
        """If dense, in the order of their slots."""
        return map(self._held.__getitem__, range(len(self))) if self.dense else iter(self._held.values())

    @property
    def free(self) -> int:
        return self.capacity - len(self)

    def add(self, holder: H) -> None:
        assert self.free > 0, f"all {self.capacity} slots are taken"
        holder.slot = self._free.pop()
        self._held[holder.slot] = holder

    def remove(self, holders: list[H]) -> list[tuple[H, Move]]:
        """Free their slots. Who moves where to close the gaps, to be carried out in order before the next step."""
        moves = []
        for holder in sorted(holders, key=lambda each: each.slot, reverse=True):
            hole = holder.slot
            del self._held[hole], holder.slot
            if self.dense and hole < len(self):
                last = self._held.pop(len(self))
                moves.append((last, Move(last.slot, hole)))
                hole, last.slot = last.slot, hole
                self._held[last.slot] = last
            self._free.append(hole)
        return moves
