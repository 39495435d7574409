"""Whole texts: their sentences, and what of them the model does not get to see."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from dataclasses import replace
from pathlib import Path

import pytest

from models.checkpoint import Checkpoint
from service.errors import InvalidRequest
from service.messages import Completion, Decoding, Event, Failure, Token
from tests import checkpoints
from tests.service.worker.engine_request.conftest import (
    SAMPLED,
    paragraph,
    started,
)


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


def test_a_sentence_in_capitals_is_read_in_small_letters_and_answered_in_capitals(translator: Checkpoint) -> None:
    asked = dataclasses.replace(paragraph("JE SUIS a@b.fr. Tu es !"), decoding=Decoding())
    engine, call, events = started(translator, asked)
    first, second = call.sequences
    decode, encode = translator.tokenizer.decode, translator.tokenizer.encode
    assert decode(first.spec.prompt) == "Je suis Tom."
    assert decode(second.spec.prompt) == "Tu es !"
    engine.give(second, *encode("You are!"), 2)
    engine.give(first, *encode("I am Tom."), 2)
    answer = events[-1]
    assert isinstance(answer, Completion)
    assert answer.text == told(events) == "I AM a@b.fr. You are!"
    assert [each.source for each in answer.sentences] == ["JE SUIS a@b.fr.", "Tu es !"]


def test_capitals_are_the_models_own_business_where_they_are_to_be(translator: Checkpoint) -> None:
    asked = dataclasses.replace(paragraph("JE SUIS LA."), capitals=False, decoding=Decoding())
    engine, call, events = started(translator, asked)
    assert translator.tokenizer.decode(call.sequences[0].spec.prompt) == "JE SUIS LA."
    engine.give(call.sequences[0], *translator.tokenizer.encode("I am."), 2)
    assert told(events) == "I am."


def test_of_a_document_capitals_stay_with_their_tags_and_terms_as_the_glossary_has_them(translator: Checkpoint) -> None:
    text = "<p>LE <b>CHAT</b> EST LA.</p>"
    asked = dataclasses.replace(paragraph(text, stream=False), format="html", glossary=(("chat", "cat"),))
    engine, call, events = started(translator, asked)
    (sentence,) = call.sequences
    assert translator.tokenizer.decode(sentence.spec.prompt) == "Le chat est la."
    engine.give(sentence, *translator.tokenizer.encode("The cat is."), 2)
    answer = events[-1]
    assert isinstance(answer, Completion)
    assert re.sub(r"</?b>", "", answer.text) == "<p>THE cat IS.</p>"


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
