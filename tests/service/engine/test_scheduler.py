from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.engine.beams import Beams
from service.engine.scheduler import (
    COLLECT_S,
    IDLE_FACTOR,
    LEVEL_S,
    PASS_TOKENS,
    Chunk,
    Plan,
    Scheduler,
    batches_by_length,
)
from service.engine.sequence import Sequence, SequenceSpec


def sequence(name: object, prompt_tokens: int = 4, deadline: float | None = None) -> Sequence:
    return Sequence(SequenceSpec(id=str(name), prompt=[1] * prompt_tokens, max_new_tokens=3, deadline=deadline))


def arriving(name: str, arrived: float, priority: int = 0) -> Sequence:
    return Sequence(SequenceSpec(id=name, prompt=[1], max_new_tokens=3, arrived=arrived, priority=priority))


def scheduler(*sequences: Sequence, slots: int = 4, prefill_tokens: int = 100) -> Scheduler:
    made = Scheduler(slots=slots, prefill_tokens=prefill_tokens)
    for each in sequences:
        made.add(each)
    return made


def beside_a_stream(*sequences: Sequence, slots: int = 4, prefill_tokens: int = 100) -> Scheduler:
    """One sequence decodes already, and takes a slot."""
    stream = sequence("stream")
    made = scheduler(stream, slots=slots, prefill_tokens=prefill_tokens)
    made.schedule(0)
    stream.rows[0].tokens.append(7)
    for each in sequences:
        made.add(each)
    return made


def prefilled(plan: Plan) -> list[str]:
    return sorted(chunk.sequence.spec.id for batch in plan.prefill for chunk in batch)


def test_requests_are_admitted_in_the_order_of_their_arrival() -> None:
    made = scheduler(*(arriving(str(n), arrived=float(n)) for n in (4, 0, 5, 2, 1, 3)))
    assert prefilled(made.schedule(0)) == ["0", "1", "2", "3"]
    assert [s.spec.id for s in made.running] == ["0", "1", "2", "3"]
    assert [s.spec.id for s in made.waiting] == ["4", "5"]


def test_a_request_joins_at_the_step_after_one_ends() -> None:
    made = scheduler(*map(sequence, range(5)))
    first = made.schedule(0)
    for batch in first.prefill:
        for chunk in batch:
            chunk.sequence.rows[0].tokens.append(7)
    made.release([first.prefill[0][0].sequence])
    second = made.schedule(1)
    assert prefilled(second) == ["4"]
    assert len(second.decode) == 3


def test_prefill_stops_at_its_budget() -> None:
    made = beside_a_stream(*(sequence(n, prompt_tokens=40) for n in range(4)), slots=5)
    assert prefilled(made.schedule(0)) == ["0", "1"]
    assert prefilled(made.schedule(0)) == ["2", "3"]


def test_packed_prompts_are_one_batch_and_cost_their_own_tokens() -> None:
    lengths = (60, 1, 30, 5, 4, 2)
    made = Scheduler(slots=8, prefill_tokens=100, packed=True)
    stream = sequence("stream")
    made.add(stream)
    made.schedule(0)
    stream.rows[0].tokens.append(7)
    for number, length in enumerate(lengths):
        made.add(sequence(number, prompt_tokens=length))
    (batch,) = made.schedule(0).prefill
    assert [len(chunk) for chunk in batch] == [60, 1, 30, 5, 4], "100 tokens; padded these would be 300"
    (batch,) = made.schedule(0).prefill
    assert [len(chunk) for chunk in batch] == [2]


def test_while_nobody_decodes_larger_batches_are_read() -> None:
    made = scheduler(*(sequence(n, prompt_tokens=40) for n in range(30)), slots=30)
    assert len(prefilled(made.schedule(0))) == IDLE_FACTOR * 100 // 40


def test_a_prompt_above_the_budget_is_prefilled_alone_rather_than_never() -> None:
    made = beside_a_stream(sequence("long", prompt_tokens=500), sequence("short"))
    assert prefilled(made.schedule(0)) == ["long"]
    assert prefilled(made.schedule(0)) == ["short"]


def test_a_short_request_never_overtakes_a_long_one() -> None:
    made = beside_a_stream(sequence("first", 40), sequence("long", 60), sequence("short", 40))
    assert prefilled(made.schedule(0)) == ["first"], "there is room for the short one beside it, but not for the long"
    assert prefilled(made.schedule(0)) == ["long"]
    assert prefilled(made.schedule(0)) == ["short"]


def test_a_cancelled_request_costs_no_step_waiting_or_running() -> None:
    running, waiting = sequence("running"), sequence("waiting")
    made = scheduler(running, slots=1)
    made.schedule(0)
    made.add(waiting)
    running.cancelled_at = waiting.cancelled_at = 1.0
    plan = made.schedule(1)
    assert {s.spec.id: s.outcome for s in plan.dropped} == {"waiting": "cancelled", "running": "cancelled"}
    assert (plan.prefill, plan.decode, made.idle) == ([], [], True)


def test_a_request_past_its_deadline_is_dropped_waiting_or_running() -> None:
    made = scheduler(sequence("running", deadline=5.0), slots=1)
    made.schedule(4.0)
    made.add(sequence("late", deadline=5.0))
    made.add(sequence("timely", deadline=50.0))
    plan = made.schedule(10.0)
    assert sorted((s.spec.id, s.outcome) for s in plan.dropped) == [("late", "deadline"), ("running", "deadline")]
    assert (prefilled(plan), plan.decode) == (["timely"], [])


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_batches_hold_everyone_once_and_never_pad_more_than_a_pass_costs(lengths: list[int]) -> None:
    chunks = [Chunk(sequence(n, length), 0, length) for n, length in enumerate(lengths)]
    batches = batches_by_length(chunks)
    assert sorted(int(c.sequence.spec.id) for batch in batches for c in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(map(len, batch))
        assert sum(longest - len(chunk) for chunk in batch) <= PASS_TOKENS
        assert len(batch[0]) == longest


def test_a_higher_priority_goes_first_but_nobody_waits_for_ever() -> None:
    patient = arriving("patient", 0.0)
    urgent = [arriving(f"urgent {n}", LEVEL_S * n / 2 + 0.1, -1) for n in range(6)]
    made = scheduler(*reversed(urgent), patient, slots=1)
    order = [s.spec.id for s in made.waiting]
    assert order[0] == "urgent 0"
    assert order.index("patient") == 2, "who came a level's worth of time later does not pass any more"


def test_a_wide_request_is_not_passed_by_narrow_ones_for_ever() -> None:
    narrow = sequence("narrow")
    made = scheduler(narrow, slots=4)
    made.schedule(0)
    wide = Sequence(SequenceSpec(id="wide", prompt=[1], max_new_tokens=3, beams=Beams(width=4)))
    made.add(wide)
    made.add(sequence("late"))
    assert made.schedule(1).prefill == [], "it waits for the slots it needs, and the others wait behind it"
    made.release([narrow])
    assert prefilled(made.schedule(2)) == ["wide"]


def test_an_endless_stream_of_prompts_does_not_stop_a_chunked_one() -> None:
    made = Scheduler(slots=8, prefill_tokens=32, chunked=True)
    made.add(sequence("long", prompt_tokens=100))
    for n in range(7):
        made.add(sequence(n, prompt_tokens=30))
    read = []
    for _ in range(4):
        plan = made.schedule(0)
        read.append([(c.sequence.spec.id, len(c)) for batch in plan.prefill for c in batch])
    assert read[:3] == [[("long", 32)], [("long", 32)], [("long", 32)]]
    assert read[3] == [("0", 28), ("long", 4)]


def test_slots_that_get_free_wait_for_more_of_them_but_only_a_moment_and_only_for_a_queue() -> None:
    running = [sequence(n) for n in range(8)]
    made = scheduler(*running, slots=8)
    made.schedule(0)
    for each in running:
        each.rows[0].tokens += [7] * 9
    for n in range(8, 20):
        made.add(sequence(n))
    made.release(running[:1])
    assert made.schedule(1.0).prefill == [], "one slot is free, and twelve wait for it"
    assert prefilled(made.schedule(1.0 + COLLECT_S)) == ["8"], "but not for long"
    made.release(running[1:5])
    assert prefilled(made.schedule(2.0)) == ["10", "11", "12", "9"], "enough for a pass of their own"
    made.release(running[5:6])
    made.waiting.clear()
    made.add(sequence("alone"))
    assert prefilled(made.schedule(3.0)) == ["alone"], "there is room for all who wait"
