"""What is observed of a request at its end."""

from __future__ import annotations

import asyncio

import pytest

from models.checkpoint import Checkpoint
from service.messages import Completion
from tests.service.worker.engine_request.conftest import (
    SAMPLED,
    Recorder,
    generate,
    paragraph,
    started,
)


def test_a_request_is_counted_once_however_many_sequences_it_has(generator: Checkpoint) -> None:
    recorder = Recorder()
    engine, call, events = started(generator, generate(3, **SAMPLED), recorder)
    for sequence in call.sequences:
        sequence.started = sequence.spec.arrived + 0.5
        assert not recorder.requests
        engine.give(sequence, 70, 71, 72)
    (stats,) = recorder.requests
    assert len(events) == 1
    assert (stats.outcome, stats.stage, stats.generated_tokens) == ("length", "finished", 9)
    assert stats.prompt_tokens == 3 * len(call.sequences[0].spec.prompt)
    assert stats.queue_s == pytest.approx(0.5)
    assert len(stats.inter_token_s) == 3 * 2


@pytest.mark.parametrize(("runs", "stage"), [(True, "running"), (False, "waiting")])
def test_a_client_that_leaves_a_text_of_many_sentences_is_counted_once(
    translator: Checkpoint, runs: bool, stage: str
) -> None:
    recorder = Recorder()
    engine, call, _ = started(translator, paragraph("Tu es. Il est. Tu es là."), recorder)
    if runs:
        call.sequences[0].started = call.sequences[0].spec.arrived
    call.cancel()
    for sequence in call.sequences:
        engine.end(sequence, "cancelled")
    (stats,) = recorder.requests
    assert (stats.outcome, stats.stage, stats.queue_s) == ("cancelled", stage, 0 if runs else None)


def test_a_request_counts_as_its_first_failure_although_the_others_are_cancelled(generator: Checkpoint) -> None:
    recorder = Recorder()
    engine, call, _ = started(generator, generate(3, **SAMPLED), recorder)
    first, second, third = call.sequences
    engine.give(first, 70, 71, 72)
    engine.end(third, "error")
    engine.end(second, "cancelled")
    assert [stats.outcome for stats in recorder.requests] == ["error"]


async def test_a_text_without_a_letter_is_counted_as_answered(translator: Checkpoint) -> None:
    recorder = Recorder()
    _, _, events = started(translator, paragraph("12:30"), recorder)
    await asyncio.sleep(0)
    assert [type(event) for event in events] == [Completion]
    assert [(stats.outcome, stats.stage, stats.prompt_tokens) for stats in recorder.requests] == [
        ("eos_token", "finished", 0)
    ]
