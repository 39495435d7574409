from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.engine.sequence import Sequence, SequenceSpec
from service.engine.slots import SlotTable


def sequence(name: int) -> Sequence:
    return Sequence(SequenceSpec(id=str(name), prompt=[1], max_new_tokens=1))


@given(st.lists(st.lists(st.integers(0, 7), max_size=8), max_size=20))
def test_running_sequences_stay_at_the_front_and_moves_carry_their_data(removals: list[list[int]]) -> None:
    table, buffer, made = SlotTable[Sequence](8), [""] * 8, 0
    for removal in removals:
        while table.free:
            new = sequence(made)
            made += 1
            table.add(new)
            buffer[new.slot] = new.spec.id
        running = list(table)
        gone = [running[index] for index in dict.fromkeys(removal)]
        for _, move in table.remove(gone):
            buffer[move.target] = buffer[move.source]
        assert [s.slot for s in table] == list(range(len(table)))
        assert [buffer[s.slot] for s in table] == [s.spec.id for s in table]
        assert not any(hasattr(s, "slot") for s in gone), "what has no slot cannot be taken for somebody with one"


def test_the_last_sequence_leaves_without_a_move() -> None:
    table = SlotTable[Sequence](2)
    first, second = sequence(1), sequence(2)
    table.add(first)
    table.add(second)
    assert table.remove([second]) == []
    assert table.remove([first]) == []


@given(st.lists(st.lists(st.integers(0, 7), max_size=8), max_size=20))
def test_whoever_need_not_move_keeps_its_slot_and_no_two_have_the_same(removals: list[list[int]]) -> None:
    table, made = SlotTable[Sequence](8, dense=False), 0
    slots: dict[str, int] = {}
    for removal in removals:
        while table.free:
            new = sequence(made)
            made += 1
            table.add(new)
            slots[new.spec.id] = new.slot
        running = list(table)
        assert sorted(s.slot for s in running) == list(range(8))
        assert table.remove([running[index] for index in dict.fromkeys(removal)]) == []
        assert all(s.slot == slots[s.spec.id] for s in table)
