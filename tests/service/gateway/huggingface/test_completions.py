"""Several results, and where a translation's words come from, as JSON."""

from __future__ import annotations

import dataclasses
import json
import math

import httpx
import pytest

from service.gateway.answering import Answer
from service.gateway.huggingface.streams import last_event
from service.gateway.huggingface.translate import TranslateBody
from service.messages import Alignment, Alternative, Completion, Confidence, Sentence, Token
from tests.service.gateway.conftest import Stand


async def ask(client: httpx.AsyncClient, route: str, **parameters: object) -> dict:
    response = await client.post(route, json={"inputs": "a b", "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()[0]


async def test_one_result_is_its_text_alone(client: httpx.AsyncClient) -> None:
    assert await ask(client, "/translate", src_lang="fr", num_beams=4) == {"translation_text": "A B"}
    assert await ask(client, "/generate", do_sample=True, seed=1) == {"generated_text": "A B"}


async def test_the_best_beams_come_with_their_scores(client: httpx.AsyncClient) -> None:
    assert await ask(client, "/translate", src_lang="fr", num_beams=4, n=3) == {
        "translation_text": "A B",
        "score": -1.0,
        "alternatives": [
            {"translation_text": "A B!", "score": -2.0},
            {"translation_text": "A B!!", "score": -3.0},
        ],
    }


async def test_samples_come_with_their_seeds(client: httpx.AsyncClient) -> None:
    assert await ask(client, "/generate", do_sample=True, seed=5, n=2, return_full_text=True) == {
        "generated_text": "a bA B",
        "score": -1.0,
        "seed": 5,
        "alternatives": [{"generated_text": "a bA B!", "score": -2.0, "seed": 6}],
    }


async def test_details_are_those_of_the_first_result(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "/generate", do_sample=True, seed=5, n=2, details=True)
    assert (answer["details"]["seed"], len(answer["details"]["tokens"]), len(answer["alternatives"])) == (5, 2, 1)


async def test_an_alignment_names_both_sides_tokens(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "/translate", src_lang="fr", return_alignment=True)
    assert answer["alignment"] == {
        "source_tokens": ["a", "b"],
        "target_tokens": ["A", " B"],
        "weights": [[1.0, 0.0], [0.0, 1.0]],
    }


async def test_a_streams_last_event_has_the_alignment(client: httpx.AsyncClient) -> None:
    body = {"inputs": "a b", "parameters": {"src_lang": "fr", "return_alignment": True}, "stream": True}
    lines = (await client.post("/translate", json=body)).text.split("\n\n")
    first, last = [json.loads(line.removeprefix("data:")) for line in lines if line]
    assert "alignment" not in first
    assert last["alignment"]["weights"] == [[1.0, 0.0], [0.0, 1.0]]


def test_weights_have_four_digits() -> None:
    result = Completion(
        request_id="r",
        text="A",
        finish_reason="length",
        prompt_tokens=1,
        generated_tokens=1,
        alignment=Alignment(source_tokens=("a", ""), target_tokens=("A",), weights=((0.123456, 0.876544),)),
    )
    [rendered] = TranslateBody(inputs="a").rendered([Answer(result)])
    [row] = rendered["alignment"]["weights"]
    assert row == [0.1235, 0.8765]
    assert sum(row) == pytest.approx(1, abs=1e-3)


ALIGNMENT = Alignment(source_tokens=("a",), target_tokens=("A",), weights=((1.0,),))


def text_of_two(**fields: object) -> Completion:
    first = Sentence(source="a.", text="A.", finish_reason="eos_token", **fields)
    second = Sentence(source="b.", text="B", finish_reason="length", **fields)
    return Completion(
        request_id="r",
        text="A. B",
        finish_reason="length",
        prompt_tokens=6,
        generated_tokens=4,
        score=fields.get("score"),  # type: ignore[arg-type]
        sentences=(first, second),
    )


def rendered(result: Completion, **parameters: object) -> dict:
    [answer] = TranslateBody(inputs="a. b.", parameters=parameters).rendered([Answer(result)])
    return answer


def test_a_translation_that_did_not_come_to_its_end_says_so() -> None:
    assert rendered(text_of_two()) == {"translation_text": "A. B", "finish_reason": "length"}


def test_sentences_come_with_the_details() -> None:
    assert rendered(text_of_two(), details=True) == {
        "translation_text": "A. B",
        "finish_reason": "length",
        "sentences": [
            {"source_text": "a.", "translation_text": "A.", "finish_reason": "eos_token"},
            {"source_text": "b.", "translation_text": "B", "finish_reason": "length"},
        ],
        "details": {"finish_reason": "length", "input_length": 6, "generated_tokens": 4, "seed": None},
    }


def test_confidence_is_said_of_the_text_and_of_each_sentence_in_four_digits() -> None:
    sure = Confidence(value=0.712345, logprob=-0.212345, calibrated=True)
    told = {"value": 0.7123, "logprob": -0.2123, "calibrated": True}
    found = rendered(dataclasses.replace(text_of_two(confidence=sure), confidence=sure))
    assert found["confidence"] == told
    assert [each["confidence"] for each in found["sentences"]] == [told, told]


def test_an_infinitely_bad_log_probability_is_none_in_json() -> None:
    never = Confidence(value=0.0, logprob=-math.inf, calibrated=False)
    found = rendered(dataclasses.replace(text_of_two(), confidence=never))
    assert found["confidence"] == {"value": 0.0, "logprob": None, "calibrated": False}


def test_a_stream_says_its_confidence_in_its_last_event() -> None:
    sure = Confidence(value=0.7, logprob=-0.2, calibrated=True)
    token = Token(request_id="r", index=0, id=5, text="B", logprob=-0.5)
    event = last_event(token, dataclasses.replace(text_of_two(confidence=sure), confidence=sure))
    assert event["confidence"]["value"] == 0.7
    assert [each["confidence"]["logprob"] for each in event["sentences"]] == [-0.2, -0.2]


def test_alternatives_and_alignments_of_several_sentences_are_said_of_each() -> None:
    other = Alternative(text="C", score=-2.0)
    found = rendered(text_of_two(score=-1.0, alternatives=(other,), alignment=ALIGNMENT))["sentences"]
    assert [each["alternatives"] for each in found] == [[{"translation_text": "C", "score": -2.0}]] * 2
    assert [(each["score"], each["alignment"]["weights"]) for each in found] == [(-1.0, [[1.0]])] * 2
    assert "sentences" in rendered(text_of_two(alignment=ALIGNMENT))


def test_a_streams_last_event_has_the_sentences_alignments() -> None:
    silent = Token(request_id="r", index=3, id=2, text="", logprob=0.0, special=True)
    assert "sentences" not in last_event(silent, text_of_two())
    assert len(last_event(silent, text_of_two(alignment=ALIGNMENT))["sentences"]) == 2


async def test_a_text_is_split_as_it_is_asked_for(stand: Stand) -> None:
    async with stand.client() as client:
        for asked in ({}, {"split": None}, {"split": "lines"}, {"split": "none"}):
            await ask(client, "/translate", src_lang="fr", **asked)
    assert [request.split for request in stand.translator.seen] == ["sentences", "sentences", "lines", "none"]
