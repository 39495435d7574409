"""A request's sequences to its events: one, or one for each sample."""

from __future__ import annotations

import time

import pytest

from models.checkpoint import Checkpoint
from service.errors import DeadlineExceeded, InvalidRequest, Overloaded
from service.messages import Completion, Decoding, Event, Failure, GenerateRequest, Token, TranslateRequest
from service.worker.engine_request import EngineRequest
from service.worker.tasks.task import Limits
from tests import checkpoints
from tests.service.worker.engine_request.conftest import (
    SAMPLED,
    FakeEngine,
    generate,
    started,
)


def test_the_answer_comes_when_all_of_its_sequences_have_ended(generator: Checkpoint) -> None:
    engine, call, events = started(generator, generate(3, **SAMPLED))
    first, second, third = call.sequences
    engine.give(third, 60, 61, 62)
    engine.give(first, 70, 71, 72)
    assert not events
    engine.give(second, 80, 81, 82)
    (answer,) = events
    assert isinstance(answer, Completion)
    decode = generator.tokenizer.decode
    assert answer.text == decode([70, 71, 72])
    assert [other.text for other in answer.alternatives] == [decode([80, 81, 82]), decode([60, 61, 62])]
    assert [answer.seed, *(other.seed for other in answer.alternatives)] == [3, 4, 5]


@pytest.mark.parametrize("outcome", ["deadline", "error", "cancelled"])
def test_the_first_failure_is_the_requests_and_cancels_the_rest(generator: Checkpoint, outcome: str) -> None:
    engine, call, events = started(generator, generate(3, **SAMPLED))
    first, second, third = call.sequences
    engine.give(first, 70, 71, 72)
    engine.end(second, outcome)
    assert third.spec.id in engine.cancelled
    assert not events
    engine.end(third, "cancelled")
    (failure,) = events
    assert isinstance(failure, Failure)
    assert failure.code == {"deadline": "deadline_exceeded", "error": "internal"}.get(outcome, outcome)


def test_cancelling_a_call_cancels_each_of_its_sequences(generator: Checkpoint) -> None:
    engine, call, _ = started(generator, generate(3, **SAMPLED))
    call.cancel()
    assert set(engine.cancelled) == {sequence.spec.id for sequence in call.sequences}
    assert len({sequence.spec.id for sequence in call.sequences}) == 3


def test_a_call_that_finds_no_room_for_all_leaves_none_behind(generator: Checkpoint) -> None:
    events: list[Event] = []
    engine = FakeEngine(room=2)
    task = checkpoints.task_of(generator, Limits(max_prompt_tokens=40, max_characters=400, max_new_tokens=20))
    call = EngineRequest(generate(3, **SAMPLED), task, events.append, time.monotonic())
    with pytest.raises(Overloaded, match="the limit is 2"):
        call.start(engine)  # type: ignore[arg-type]
    assert not engine.sinks
    assert not events


def test_only_the_first_result_is_told_token_by_token(generator: Checkpoint) -> None:
    engine, call, events = started(generator, generate(2, stream=True, **SAMPLED))
    first, second = call.sequences
    engine.give(second, 80, 81, 82)
    engine.give(first, 70, 71, 72)
    *tokens, answer = events
    assert [token.id for token in tokens if isinstance(token, Token)] == [70, 71, 72]
    assert isinstance(answer, Completion)
    assert "".join(token.text for token in tokens if isinstance(token, Token)) == answer.text


def test_a_target_prefix_is_part_of_the_first_tokens_text(translator: Checkpoint) -> None:
    for stop in ((), ("zzz",)):
        request = TranslateRequest(
            id="t", text="Je suis", source_language="fr", target_language="en", target_prefix="I  am", stream=True,
            decoding=Decoding(max_new_tokens=2, stop=stop),
        )  # fmt: skip
        engine, call, events = started(translator, request)
        tired = translator.tokenizer.encode(" t")
        engine.give(call.sequences[0], tired[0], 2)
        first, _, answer = events
        assert isinstance(first, Token)
        assert isinstance(answer, Completion)
        assert first.text.startswith("I am")
        assert "".join(event.text for event in events[:-1] if isinstance(event, Token)) == answer.text
        assert answer.generated_tokens == 2


def test_a_translation_that_ends_at_once_is_its_prefix(translator: Checkpoint) -> None:
    request = TranslateRequest(
        id="t", text="Je suis", source_language="fr", target_language="en", target_prefix="I am", stream=True
    )
    engine, call, events = started(translator, request)
    engine.give(call.sequences[0], 2)
    token, answer = events
    assert isinstance(token, Token)
    assert isinstance(answer, Completion)
    assert (token.text, answer.text) == ("I am", "I am")


def test_priority_and_deadline_are_those_of_every_sequence(generator: Checkpoint) -> None:
    request = GenerateRequest(
        id="g", text="배우", priority=-4, deadline=time.time() + 9, decoding=Decoding(num_return_sequences=2, **SAMPLED)
    )
    _, call, _ = started(generator, request)
    assert [sequence.spec.priority for sequence in call.sequences] == [-4, -4]
    assert all(8 < (sequence.spec.deadline or 0) - time.monotonic() < 9.1 for sequence in call.sequences)


def test_what_cannot_be_served_is_refused_before_it_starts(generator: Checkpoint) -> None:
    with pytest.raises(InvalidRequest, match="priority is 11, expected -10 to 10"):
        started(generator, GenerateRequest(id="g", text="배우", priority=11))
    with pytest.raises(DeadlineExceeded, match="passed"):
        started(generator, GenerateRequest(id="g", text="배우", deadline=1.0))


def test_an_answer_that_cannot_be_built_is_a_failure_and_not_silence(
    generator: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, call, events = started(generator, generate())
    monkeypatch.setattr("service.worker.tasks.completions.finished_text", lambda *_: 1 / 0)
    engine.give(call.sequences[0], 70, 71, 72)
    (failure,) = events
    assert isinstance(failure, Failure)
    assert failure.code == "internal"
