"""Which sequences of a request may go, as book-keeping."""

from __future__ import annotations

import time

from service.engine.beams import Beams
from service.engine.sequence import Sequence, SequenceSpec
from service.worker.backlog import Backlog


def sequences(count: int, *, tokens: int = 1, beams: int = 1) -> list[Sequence]:
    search = Beams(width=beams) if beams > 1 else None
    return [
        Sequence(SequenceSpec(id=str(n), prompt=[9] * tokens, max_new_tokens=1, beams=search)) for n in range(count)
    ]


def test_as_many_go_as_there_are_slots_and_the_next_when_one_is_back() -> None:
    first, second, third, fourth = made = sequences(4)
    backlog = Backlog(made, slots=2, tokens=100)
    assert backlog.take() == [first, second]
    assert backlog.take() == []
    backlog.back(second)
    assert backlog.take() == [third]
    backlog.back(first)
    backlog.back(third)
    assert backlog.take() == [fourth]


def test_beams_take_a_slot_each() -> None:
    made = sequences(3, beams=4)
    assert Backlog(made, slots=9, tokens=100).take() == made[:2]


def test_prompts_are_bounded_together() -> None:
    made = sequences(3, tokens=5)
    assert Backlog(made, slots=9, tokens=14).take() == made[:2]


def test_one_goes_however_little_room_there_is() -> None:
    first, second = made = sequences(2, tokens=5, beams=4)
    backlog = Backlog(made, slots=1, tokens=2)
    assert backlog.take() == [first]
    backlog.back(first)
    assert backlog.take() == [second]


def test_who_is_cancelled_waits_for_nobody() -> None:
    made = sequences(4)
    backlog = Backlog(made, slots=1, tokens=100)
    assert backlog.take() == made[:1]
    for sequence in made[1:3]:
        sequence.cancelled_at = time.monotonic()
    assert backlog.take() == made[1:3]
    for sequence in made[:3]:
        backlog.back(sequence)
    assert backlog.take() == made[3:]
