"""A call's sequences to one request's events, over an engine that does what a test tells it to."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from models.checkpoint import Checkpoint
from service.engine.engine import Output
from service.engine.sequence import Sequence
from service.engine.stats import NoObserver, Observer, RequestStats
from service.errors import DeadlineExceeded, InvalidRequest, Overloaded
from service.messages import Completion, Decoding, Event, Failure, GenerateRequest, Request, Token, TranslateRequest
from service.worker.engine_request import EngineRequest
from service.worker.tasks.task import Limits
from tests import checkpoints

SAMPLED = {"do_sample": True, "seed": 3}


class FakeEngine:
    """Takes `room` sequences; what they give and when they end is the test's to say."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.sinks: dict[str, Callable[[Output], None]] = {}
        self.cancelled: list[str] = []

    def add(self, sequences: list[Sequence], sink: Callable[[Output], None]) -> None:
        if len(sequences) > self.room:
            raise Overloaded(f"the limit is {self.room}")
        self.sinks.update({sequence.spec.id: sink for sequence in sequences})

    def cancel(self, sequence_id: str) -> None:
        self.cancelled.append(sequence_id)

    def give(self, sequence: Sequence, *tokens: int) -> None:
        for token in tokens:
            sequence.accept(token, time.monotonic())
            last = sequence.outcome is not None
            self.sinks[sequence.spec.id](Output(sequence, len(sequence.output) - 1, token, -0.5, last=last))

    def end(self, sequence: Sequence, outcome: str) -> None:
        sequence.outcome = outcome  # type: ignore[assignment]
        self.sinks[sequence.spec.id](Output(sequence, last=True, error="it broke" if outcome == "error" else None))


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoints.generator(tmp_path_factory.mktemp("calls"))


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    root: Path = tmp_path_factory.mktemp("calls")
    return checkpoints.translator(root)


def generate(results: int = 1, stream: bool = False, **decoding: object) -> GenerateRequest:
    asked = Decoding(num_return_sequences=results, max_new_tokens=3, **decoding)
    return GenerateRequest(id="g", text="배우", stream=stream, decoding=asked)


class Recorder(NoObserver):
    def __init__(self) -> None:
        self.requests: list[RequestStats] = []

    def observe_request(self, stats: RequestStats) -> None:
        self.requests.append(stats)


def started(
    checkpoint: Checkpoint, request: Request, observer: Observer | None = None
) -> tuple[FakeEngine, EngineRequest, list[Event]]:
    events: list[Event] = []
    engine = FakeEngine()
    task = checkpoints.task_of(checkpoint, Limits(max_prompt_tokens=40, max_characters=400, max_new_tokens=20))
    call = EngineRequest(request, task, events.append, time.monotonic(), observer)
    call.start(engine)  # type: ignore[arg-type]
    return engine, call, events


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


TEXT = "  - Je suis. Tu es !\n\nIl est.\n"


def paragraph(text: str = TEXT, *, stream: bool = True, **decoding: object) -> TranslateRequest:
    return TranslateRequest(
        id="t", text=text, source_language="fr", target_language="en", stream=stream,
        decoding=Decoding(max_new_tokens=5, **decoding),
    )  # fmt: skip


def told(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def test_sentences_are_told_in_their_order_whichever_comes_first(translator: Checkpoint) -> None:
    engine, call, events = started(translator, paragraph())
    first, second, third = call.sequences
    one, two, three = (translator.tokenizer.encode(text)[0] for text in "abc")
    engine.give(third, three, 2)
    engine.give(second, two)
    assert told(events) == ""
    engine.give(first, one)
    assert told(events) == "  - a"
    engine.give(first, 2)
    assert told(events) == "  - a b"
    engine.give(second, 2)
    *tokens, answer = events
    assert isinstance(answer, Completion)
    assert told(events) == answer.text == "  - a b\n\nc\n"
    assert [token.index for token in tokens if isinstance(token, Token)] == [0, 1, 2, 3, 4, 5]
    assert (answer.generated_tokens, answer.finish_reason) == (6, "eos_token")
    assert [(each.source, each.text) for each in answer.sentences] == [
        ("Je suis.", "a"),
        ("Tu es !", "b"),
        ("Il est.", "c"),
    ]
    assert answer.prompt_tokens == sum(len(sequence.spec.prompt) for sequence in call.sequences)


def test_a_stop_string_ends_the_text_and_not_its_sentence_alone(translator: Checkpoint) -> None:
    engine, call, events = started(translator, paragraph(stop=("b",)))
    letters = [translator.tokenizer.encode(text)[0] for text in "abc"]
    for sequence, tokens in zip(call.sequences, ([letters[0], 2], [letters[1]], [letters[2], 2]), strict=True):
        engine.give(sequence, *tokens)
    *_, answer = events
    assert isinstance(answer, Completion)
    assert told(events) == answer.text == "  - a "
    assert answer.finish_reason == "stop_sequence"


async def test_a_text_without_a_letter_needs_no_engine_and_comes_back(translator: Checkpoint) -> None:
    engine, _, events = started(translator, paragraph(" ... \n 12 😀"))
    assert not engine.sinks
    assert not events, "who asked hears first that it runs"
    await asyncio.sleep(0)
    (answer,) = events
    assert isinstance(answer, Completion)
    assert (answer.text, answer.generated_tokens) == (" ... \n 12 😀", 0)


async def test_a_text_in_its_target_language_needs_no_engine_and_comes_back(translator: Checkpoint) -> None:
    text = " I am  tired. \n You are not."
    engine, _, events = started(translator, replace(paragraph(text), source_language="en", target_language="en"))
    assert not engine.sinks
    await asyncio.sleep(0)
    (answer,) = events
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason, answer.generated_tokens) == (text, "eos_token", 0)


def test_samples_of_a_text_are_those_of_its_sentences(translator: Checkpoint) -> None:
    engine, call, events = started(translator, paragraph("Je. Tu.", stream=False, num_return_sequences=2, **SAMPLED))
    assert [sequence.spec.sampling.seed for sequence in call.sequences] == [3, 4, 3, 4]
    assert len({sequence.spec.id for sequence in call.sequences}) == 4
    for sequence, letter in zip(call.sequences, "abcd", strict=True):
        engine.give(sequence, translator.tokenizer.encode(letter)[0], 2)
    (answer,) = events
    assert isinstance(answer, Completion)
    assert (answer.text, [other.text for other in answer.alternatives]) == ("a c", ["b d"])
    assert [[one.text, one.alternatives[0].text] for one in answer.sentences] == [["a", "b"], ["c", "d"]]


def test_a_text_fails_as_its_first_sentence_that_fails(translator: Checkpoint) -> None:
    engine, call, events = started(translator, paragraph(stream=False))
    first, second, third = call.sequences
    engine.give(first, 70, 2)
    engine.end(third, "error")
    assert second.spec.id in engine.cancelled
    engine.end(second, "cancelled")
    (failure,) = events
    assert isinstance(failure, Failure)
    assert failure.code == "internal"


def test_what_is_protected_is_hidden_from_the_model_and_comes_back_at_the_end_of_its_sentence(
    translator: Checkpoint,
) -> None:
    asked = dataclasses.replace(paragraph("Je suis a@b.fr. Tu es !"), decoding=Decoding())
    engine, call, events = started(translator, asked)
    first, second = call.sequences
    decode, encode = translator.tokenizer.decode, translator.tokenizer.encode
    assert "Tom" in decode(first.spec.prompt)
    assert "a@b" not in decode(first.spec.prompt)
    assert (first.spec.align_layer, second.spec.align_layer) == (1, None)
    engine.give(second, encode("b")[0], 2)
    *said, last = [*encode("I Tom"), 2]
    engine.give(first, *said)
    assert told(events) == ""
    engine.give(first, last)
    *_, answer = events
    assert isinstance(answer, Completion)
    assert told(events) == answer.text == "I a@b.fr b"
    assert [each.source for each in answer.sentences] == ["Je suis a@b.fr.", "Tu es !"]


def test_what_has_got_lost_is_put_where_the_words_are_that_are_aligned_with_it(translator: Checkpoint) -> None:
    request = dataclasses.replace(
        paragraph("Je suis a@b.fr", stream=False), glossary=(("suis", "were"),), decoding=Decoding()
    )
    engine, call, events = started(translator, request)
    (sequence,) = call.sequences
    encode, decode = translator.tokenizer.encode, translator.tokenizer.decode
    words = [decode(sequence.spec.prompt[:end]) for end in range(len(sequence.spec.prompt) + 1)]
    tom = next(place for place, text in enumerate(words) if text.endswith("T")) - 1
    suis = next(place for place, text in enumerate(words) if text.endswith(" s")) - 1
    output = [*encode("I"), *encode("I am")[len(encode("I")) :], *encode("I am x")[len(encode("I am")) :]]
    places = {place: (tom if "x" in decode([token]) else suis) for place, token in enumerate(output) if place}
    columns = range(len(sequence.spec.prompt))
    sequence.alignments = [
        [[float(column == places.get(row, 0)) for column in columns] for row in range(len(output) + 1)]
    ]
    engine.give(sequence, *output, 2)
    (answer,) = events
    assert isinstance(answer, Completion)
    assert answer.text == "I were a@b.fr"


def test_nothing_is_protected_where_nothing_is_to_be(translator: Checkpoint) -> None:
    _, call, _ = started(translator, dataclasses.replace(paragraph("Je suis a@b.fr"), protect=False))
    assert "a@b.fr" in translator.tokenizer.decode(call.sequences[0].spec.prompt)


def test_what_a_glossary_has_is_asked_for_in_the_sentences_that_have_it(translator: Checkpoint) -> None:
    request = dataclasses.replace(paragraph("Tu es. Le chat est."), glossary=(("chat", "feline"), ("Le chat", "cat")))
    _, call, _ = started(translator, request)
    first, second = call.sequences
    assert (first.spec.align_layer, second.spec.align_layer) == (None, 1)


def test_a_model_that_does_not_align_searches_for_what_must_be_there(tmp_path: Path) -> None:
    model = checkpoints.recurrent(tmp_path, attention="none")
    request = dataclasses.replace(paragraph("Le chat a@b.fr est."), glossary=(("chat", "cat"),))
    _, call, _ = started(model, request)
    (sequence,) = call.sequences
    decode = model.tokenizer.decode
    assert [(decode(list(p.tokens)), decode(list(p.first))) for p in sequence.spec.phrases] == [
        (" Tom", "Tom"),
        (" cat", "cat"),
    ]
    assert sequence.spec.width == min(16, 2 + sum(len(phrase.tokens) for phrase in sequence.spec.phrases))
    with pytest.raises(InvalidRequest, match="glossary does not go with sampling"):
        started(model, dataclasses.replace(request, decoding=Decoding(**SAMPLED)))


def test_loops_are_guarded_against_unless_they_are_wanted(translator: Checkpoint) -> None:
    for guarded in (True, False):
        _, call, _ = started(translator, dataclasses.replace(paragraph("Tu es."), loop_guard=guarded))
        assert (call.sequences[0].spec.loop_guard is not None) is guarded


def test_a_translation_does_not_begin_with_a_space(translator: Checkpoint) -> None:
    engine, call, events = started(translator, paragraph("Hier. Oui."))
    for sequence in call.sequences:
        tokens = translator.tokenizer.encode("a b")[len(translator.tokenizer.encode("a")) :]
        engine.give(sequence, *tokens, 2)
    *_, answer = events
    assert isinstance(answer, Completion)
    assert told(events) == answer.text == "b b"
