"""How many results a request asks for, and what a translation is held to: what is taken, what is refused and why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.errors import InvalidRequest
from service.gateway.huggingface.generate import GenerateBody, GenerateParameters
from service.gateway.huggingface.tasks import TASKS
from service.gateway.huggingface.translate import TranslateBody
from service.gateway.traffic import Envelope
from service.messages import MOST_BEAMS, Decoding
from tests.service.gateway.conftest import Stand
from tests.service.gateway.fakes import model_info

SAMPLED = {"do_sample": True}


async def ask(client: httpx.AsyncClient, parameters: dict, route: str = "/generate", **body: object) -> httpx.Response:
    return await client.post(route, json={"inputs": "a b", "parameters": parameters, **body})


async def test_what_is_asked_of_a_beam_search_reaches_the_worker(stand: Stand, client: httpx.AsyncClient) -> None:
    asked = {
        "num_beams": 4,
        "num_return_sequences": 3,
        "length_penalty": 0.6,
        "early_stopping": "never",
        "no_repeat_ngram_size": 2,
    }
    assert (await ask(client, {**asked, "priority": -3})).status_code == 200
    request = stand.generator.seen[0]
    assert {name: getattr(request.decoding, name) for name in asked} == asked
    assert request.priority == -3


async def test_what_a_translation_is_held_to_reaches_the_worker(stand: Stand, client: httpx.AsyncClient) -> None:
    asked = {"target_prefix": "I", "min_length_ratio": 0.5, "max_length_ratio": 2, "alignment_layer": 1}
    response = await ask(client, {"src_lang": "fr", **asked}, "/translate")
    assert response.status_code == 200, response.text
    request = stand.translator.seen[0]
    assert {name: getattr(request, name) for name in asked} == asked
    assert request.return_alignment


@pytest.mark.parametrize(
    ("asked", "aligns"),
    [
        ({}, False),
        ({"return_alignment": True}, True),
        ({"alignment_layer": 0}, True),
        ({"return_alignment": False, "alignment_layer": 0}, False),
    ],
)
async def test_choosing_a_layer_asks_for_an_alignment_unless_it_is_refused(
    stand: Stand, client: httpx.AsyncClient, asked: dict, aligns: bool
) -> None:
    answer = (await ask(client, {"src_lang": "fr", **asked}, "/translate")).json()
    assert stand.translator.seen[0].return_alignment is aligns
    assert ("alignment" in answer[0]) is aligns


async def test_n_is_another_name_for_num_return_sequences(stand: Stand, client: httpx.AsyncClient) -> None:
    for asked in ({"n": 2}, {"num_return_sequences": 2}, {"n": 2, "num_return_sequences": 2}):
        assert (await ask(client, {**SAMPLED, **asked})).status_code == 200
    assert [request.decoding.num_return_sequences for request in stand.generator.seen] == [2, 2, 2]


async def test_every_task_takes_a_priority(stand: Stand, client: httpx.AsyncClient) -> None:
    languages = {"translate": {"src_lang": "fr"}}
    for task in TASKS:
        assert (await ask(client, {"priority": 10, **languages.get(task, {})}, f"/{task}")).status_code == 200
    workers = (stand.translator, stand.generator, stand.classifier, stand.embedder)
    assert [[request.priority for request in worker.seen] for worker in workers] == [[10]] * len(TASKS)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"num_beams": 0}, "parameters.num_beams is 0: expected at least 1"),
        ({"num_beams": 17}, "parameters.num_beams is 17: expected at most 16"),
        ({"num_beams": 5}, "num_beams is 5, the model has 4 slots"),
        ({"num_beams": 2, "n": 3}, "num_return_sequences is 3, the limit is num_beams, 2"),
        ({"n": 3}, "the limit of greedy decoding is 1: set num_beams to at least 3, or do_sample"),
        ({"n": 17, **SAMPLED}, "parameters.n is 17"),
        ({"n": 2, "num_return_sequences": 3}, "n is 2 and num_return_sequences is 3: they are the same"),
        ({"num_beams": 2, **SAMPLED}, "num_beams is 2, which does not go with sampling"),
        ({"num_beams": 2, "temperature": 0.5}, "num_beams is 2, which does not go with sampling"),
        ({"num_beams": 2, "stop": ["."]}, "num_beams is 2, which does not go with stop"),
        ({"num_beams": 2, "top_n_tokens": 1}, "num_beams is 2, which does not go with top_n_tokens"),
        ({"early_stopping": "always"}, 'early_stopping is "always": expected true, false or "never"'),
        ({"length_penalty": 11}, "length_penalty is 11"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size is -1"),
        ({"priority": -11}, "priority is -11"),
        ({"priority": 1.5}, "priority is 1.5"),
        ({"target_prefix": "I"}, "parameters.target_prefix is unknown"),
    ],
)
async def test_results_that_cannot_be_are_refused_before_a_worker_hears_of_them(
    stand: Stand, client: httpx.AsyncClient, asked: dict, words: str
) -> None:
    response = await ask(client, asked)
    assert response.status_code == 422
    assert words in response.json()["error"]["message"]
    assert not stand.generator.batches


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"min_length_ratio": -0.5}, "min_length_ratio is -0.5"),
        ({"max_length_ratio": 0}, "max_length_ratio is 0"),
        ({"max_length_ratio": 101}, "max_length_ratio is 101"),
        ({"alignment_layer": -1}, "alignment_layer is -1"),
        ({"return_alignment": 1}, "return_alignment is 1"),
        ({"target_prefix": 5}, "target_prefix is 5"),
    ],
)
async def test_what_no_translation_can_be_held_to_is_refused(
    stand: Stand, client: httpx.AsyncClient, asked: dict, words: str
) -> None:
    response = await ask(client, {"src_lang": "fr", **asked}, "/translate")
    assert response.status_code == 422
    assert words in response.json()["error"]["message"]
    assert not stand.translator.batches


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"num_beams": 3}, "stream is true with num_beams 3, the limit is 1: a beam search knows"),
        ({"n": 3, **SAMPLED}, "stream is true with num_return_sequences 3, the limit is 1"),
    ],
)
async def test_a_stream_has_one_result_that_grows(client: httpx.AsyncClient, asked: dict, words: str) -> None:
    response = await ask(client, asked, stream=True)
    assert response.status_code == 422
    assert words in response.json()["error"]["message"]


async def test_a_translation_that_is_searched_for_may_be_streamed_sentence_by_sentence(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    body = {"inputs": "a", "parameters": {"src_lang": "fr", "num_beams": 3}, "stream": True}
    assert (await client.post("/translate", json=body)).status_code == 200
    assert [(request.decoding.num_beams, request.stream) for request in stand.translator.seen] == [(3, True)]


async def test_what_is_protected_and_said_reaches_the_worker(stand: Stand, client: httpx.AsyncClient) -> None:
    asked = {
        "protect": False,
        "capitals": False,
        "glossary": {"A  b": "feline", "le chien": "hound"},
        "loop_guard": False,
    }
    for parameters in (asked, {}, dict.fromkeys(asked)):
        assert (await ask(client, {"src_lang": "fr", **parameters}, "/translate")).status_code == 200
    said, *others = stand.translator.seen
    assert (said.protect, said.capitals, said.loop_guard) == (False, False, False)
    assert said.glossary == (("A  b", "feline"),), "what is in the text"
    assert all(
        (other.protect, other.capitals, other.glossary, other.loop_guard) == (True, True, (), True) for other in others
    )


def with_glossary(folder: Path) -> Stand:
    (folder / "medical.tsv").write_text("# of the clinic\na\talpha\n\nz\tomega\n", encoding="utf-8")
    return Stand(limits={"glossaries": {"medical": folder / "medical.tsv"}})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"glossary": {"": "x"}}, 'parameters.glossary is "": expected at most 1000 texts of 1 to 200'),
        ({"glossary": {"x": " "}}, 'parameters.glossary is " "'),
        ({"glossary": {"x": 5}}, "parameters.glossary is 5"),
        ({"glossary": 5}, "parameters.glossary is 5"),
        ({"glossary": {"x": "y" * 201}}, "parameters.glossary"),
        ({"glossary": {str(number): "y" for number in range(1001)}}, "parameters.glossary"),
        ({"glossary": "words"}, 'parameters.glossary is "words"; available: medical'),
    ],
)
async def test_a_glossary_that_cannot_be_kept_is_refused(tmp_path: Path, asked: dict, words: str) -> None:
    stand = with_glossary(tmp_path)
    async with stand.client() as client:
        response = await ask(client, {"src_lang": "fr", **asked}, "/translate")
        assert response.status_code == 422
        assert words in response.json()["error"]["message"]
        assert not stand.translator.batches


async def test_a_glossary_of_the_service_is_asked_for_by_its_name(tmp_path: Path) -> None:
    stand = with_glossary(tmp_path)
    async with stand.client() as client:
        assert (await ask(client, {"src_lang": "fr", "glossary": "medical"}, "/translate")).status_code == 200
    assert stand.translator.seen[0].glossary == (("a", "alpha"),)


async def test_a_parameter_that_is_given_twice_has_one_value(stand: Stand, client: httpx.AsyncClient) -> None:
    for outer, inner in (("fr", "ko"), ("fr", 5), ("fr", False)):
        response = await ask(client, {"src_lang": outer, "generate_parameters": {"src_lang": inner}}, "/translate")
        assert response.status_code == 422
        words = f"src_lang is {json.dumps(outer)} and in generate_parameters {json.dumps(inner)}"
        assert words in response.json()["error"]["message"]
    response = await ask(client, {"do_sample": True, "generate_parameters": {"do_sample": 1}}, "/translate")
    assert "do_sample is true and in generate_parameters 1" in response.json()["error"]["message"]
    assert not stand.translator.batches
    for outer, inner in (("fr", "fr"), ("fr", None), (None, "fr")):
        response = await ask(client, {"src_lang": outer, "generate_parameters": {"src_lang": inner}}, "/translate")
        assert response.status_code == 200
    assert [request.source_language for request in stand.translator.seen] == ["fr"] * 3


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"early_stopping": 0}, 'early_stopping is 0: expected true, false or "never"'),
        ({"early_stopping": 1}, 'early_stopping is 1: expected true, false or "never"'),
        ({"watermark": 0}, "watermark is 0: this parameter is not supported: leave it out or send false"),
        ({"best_of": True}, "best_of is true: this parameter is not supported: leave it out or send 1"),
        ({"grammar": False}, "grammar is false: this parameter is not supported: leave it out"),
        ({"logit_bias": {"3": True}}, "logit_bias[3] is true"),
        ({"temperature": True}, "temperature is true"),
        ({"do_sample": 0}, "do_sample is 0"),
    ],
)
async def test_true_is_no_number_and_a_number_is_neither_true_nor_false(
    stand: Stand, client: httpx.AsyncClient, parameters: dict, words: str
) -> None:
    response = await ask(client, parameters)
    assert response.status_code == 422
    assert words in response.json()["error"]["message"]
    assert not stand.generator.batches


@pytest.mark.parametrize(
    ("route", "body", "named", "index"),
    [
        ("/generate", {"inputs": ["abcde", "abcdef"]}, "inputs[1]", 1),
        ("/translate", {"inputs": "abcdef", "parameters": {"src_lang": "fr"}}, "inputs[0]", 0),
        (
            "/translate",
            {"inputs": "a", "parameters": {"src_lang": "fr", "target_prefix": "abcdef"}},
            "parameters.target_prefix",
            0,
        ),
        ("/classify", {"inputs": ["a", {"text": "abcdef"}]}, "inputs[1]", 1),
        ("/classify", {"inputs": ["a", {"text": "a", "text_pair": "abcdef"}]}, "inputs[1].text_pair", 1),
    ],
)
async def test_a_text_with_more_characters_than_the_model_could_have_room_for_is_refused_before_a_worker_hears_of_it(
    stand: Stand, route: str, body: dict, named: str, index: int
) -> None:
    for worker in stand.workers.values():
        worker.info = replace(worker.info, max_characters=5)
    async with stand.client() as client:
        response = await client.post(route, json=body)
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (422, "input_too_long")
        assert error["message"] == f"{named} has 6 characters, the limit is 5"
        assert (error["index"], error["limit"]) == (index, 5)
        assert not any(worker.batches for worker in stand.workers.values())
        assert (await client.get("/info")).json()["models"][0]["max_characters"] == 5


async def test_texts_with_too_many_characters_together_are_refused_before_a_worker_hears_of_them(stand: Stand) -> None:
    async with stand.client() as client:
        limit = (await client.get("/info")).json()["limits"]["max_characters"]
        for inputs in ("x" * 100_001, ["x" * 50_000, "y" * 50_001]):
            response = await client.post("/generate", json={"inputs": inputs})
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (422, "input_too_long")
            assert error["message"] == f"the request has texts of 100001 characters, the limit is {limit:.0f}"
        assert not stand.generator.batches


async def test_a_pair_is_refused_by_a_model_that_was_trained_on_single_texts(stand: Stand) -> None:
    stand.classifier.info = replace(stand.classifier.info, takes_pairs=False)
    async with stand.client() as client:
        response = await client.post("/classify", json={"inputs": ["a", {"text": "a", "text_pair": "b"}]})
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["index"]) == (422, "invalid_request", 1)
        assert (
            "inputs[1] has a text_pair, but classifier (classifier@1) was trained on single texts" in error["message"]
        )
        assert not stand.classifier.batches
        assert (await client.post("/classify", json={"inputs": {"text": "a", "text_pair": None}})).status_code == 200


async def test_samples_count_as_texts(client: httpx.AsyncClient) -> None:
    response = await ask(client, {**SAMPLED, "n": 16}, inputs=["a"] * 17)
    assert response.status_code == 422
    assert "17 texts with num_return_sequences 16: 272 results, the limit is 256" in response.json()["error"]["message"]
    assert (await ask(client, {**SAMPLED, "n": 16}, inputs=["a"] * 16)).status_code == 200
    assert (await ask(client, {"num_beams": 4, "n": 4}, inputs=["a"] * 100)).status_code == 200


counts = st.integers(min_value=-1, max_value=20) | st.none()


@given(
    beams=counts,
    results=counts,
    sampled=st.booleans(),
    stop=st.lists(st.just("."), max_size=1),
    slots=st.integers(min_value=1, max_value=32),
)
def test_whatever_is_taken_can_be_done(beams, results, sampled, stop, slots) -> None:
    """What comes through the checks keeps to every limit, and what keeps to them comes through."""
    width, count = 1 if beams is None else beams, 1 if results is None else results
    possible = (
        1 <= width <= min(MOST_BEAMS, slots)
        and 1 <= count <= (width if width > 1 else MOST_BEAMS if sampled else 1)
        and not (width > 1 and (sampled or stop))
    )
    assert possible is taken({"num_beams": beams, "n": results, "do_sample": sampled, "stop": stop}, slots)


def taken(asked: dict, slots: int) -> bool:
    try:
        body = GenerateBody(inputs="a", parameters=GenerateParameters(**asked))
        body.requests(model_info("g", "generate", slots=slots), Envelope("id", 1.0))
    except (ValidationError, InvalidRequest):
        return False
    return True


def test_left_out_is_what_the_worker_does_by_itself() -> None:
    (generation,) = GenerateBody(inputs="a").requests(model_info("g", "generate"), Envelope("id", 1.0))
    assert generation.decoding == Decoding()
    body = TranslateBody.model_validate({"inputs": "a", "parameters": {"src_lang": "fr"}})
    (translation,) = body.requests(model_info("t", "translate"), Envelope("id", 1.0))
    assert (translation.decoding, translation.target_prefix, translation.return_alignment) == (Decoding(), "", False)
