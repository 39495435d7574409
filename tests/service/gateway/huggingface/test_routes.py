"""POST /translate, /generate, /classify over scripted workers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import httpx
import pytest

from service.errors import InputTooLong, Overloaded
from service.gateway.huggingface.generate import GenerateBody
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually


def error_of(response: httpx.Response) -> dict:
    body = response.json()
    assert list(body) == ["error"]
    assert body["error"]["request_id"] == response.headers["x-request-id"]
    return body["error"]


async def test_one_input_is_answered_in_hugging_faces_shape(client):
    one = await client.post("/translate", json={"inputs": "bonjour", "parameters": {"src_lang": "fr"}})
    assert (one.status_code, one.json()) == (200, [{"translation_text": "BONJOUR"}])
    one = await client.post("/generate", json={"inputs": "once upon"})
    assert (one.status_code, one.json()) == (200, [{"generated_text": "ONCE UPON"}])
    one = await client.post("/classify", json={"inputs": "fine"})
    assert (one.status_code, one.json()) == (
        200,
        [[{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}]],
    )


async def test_a_list_of_inputs_is_answered_in_its_order(stand, client):
    stand.generator.holding = {"a"}
    asking = asyncio.create_task(client.post("/generate", json={"inputs": ["a", "b", "c"]}))
    await eventually(lambda: stand.generator.answered == ["b", "c"])
    stand.generator.release()
    assert [one["generated_text"] for one in (await asking).json()] == ["A", "B", "C"]
    assert stand.generator.answered == ["b", "c", "a"]


async def test_answers_carry_version_and_timing(client):
    response = await client.post("/generate", json={"inputs": "a"}, headers={"x-request-id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"
    assert response.headers["x-model-version"] == "generator@1"
    assert response.headers["x-queue-time-ms"] == "1.25"
    assert response.headers["x-inference-time-ms"] == "3.50"


async def test_parameters_reach_the_worker(stand, client):
    parameters = {"max_new_tokens": 7, "do_sample": True, "temperature": 0.5, "top_k": 3, "top_p": 0.9, "seed": 2**62}
    body = {"inputs": "a", "parameters": {**parameters, "return_full_text": True}}
    assert (await client.post("/generate", json=body)).json() == [{"generated_text": "aA"}]
    decoding = stand.generator.seen[0].decoding
    assert {name: getattr(decoding, name) for name in parameters} == parameters
    body = {"inputs": {"text": "a", "text_pair": "b"}, "parameters": {"top_k": 1, "function_to_apply": "sigmoid"}}
    assert (await client.post("/classify", json=body)).json() == [[{"label": "good", "score": 0.75}]]
    request = stand.classifier.seen[0]
    assert (request.text_pair, request.top_k, request.function_to_apply) == ("b", 1, "sigmoid")


async def test_details_list_the_tokens(client):
    body = {"inputs": "a b", "parameters": {"details": True, "seed": 5}}
    details = (await client.post("/generate", json=body)).json()[0]["details"]
    assert (details["finish_reason"], details["generated_tokens"], details["seed"], details["prefill"]) == (
        "eos_token",
        2,
        5,
        [],
    )
    assert details["tokens"] == [
        {"id": 10, "text": "A", "logprob": -0.5, "special": False},
        {"id": 11, "text": " B", "logprob": -0.5, "special": False},
    ]


async def test_language_codes_may_be_written_as_others_write_them(stand, client):
    for source, target in (("FR", "en-US"), ("fr_XX", "en_XX"), ("fr_Latn", None)):
        parameters = {"src_lang": source, "tgt_lang": target}
        response = await client.post("/translate", json={"inputs": "a", "parameters": parameters})
        assert response.status_code == 200, response.text
    assert {(r.source_language, r.target_language) for r in stand.translator.seen} == {("fr", "en")}


async def test_an_unknown_language_pair_is_404_with_what_there_is(client):
    response = await client.post("/translate", json={"inputs": "a", "parameters": {"src_lang": "de", "tgt_lang": "en"}})
    error = error_of(response)
    assert (response.status_code, error["code"]) == (404, "unknown_language_pair")
    assert error["available"] == ["fr-en", "en-fr", "ko-en"]
    assert "de-en" in error["message"]


async def test_an_ambiguous_language_pair_is_422_with_the_possible_ones(client):
    response = await client.post("/translate", json={"inputs": "a", "parameters": {"tgt_lang": "en"}})
    assert response.status_code == 422
    assert error_of(response)["possible"] == ["fr-en", "ko-en"]


async def test_a_model_may_be_named(stand, client):
    response = await client.post("/generate", json={"inputs": "a", "model": "second-generator"})
    assert response.headers["x-model-version"] == "second-generator@1"
    response = await client.post("/generate", json={"inputs": "a", "model": "classifier"})
    error = error_of(response)
    assert (response.status_code, error["code"]) == (404, "unknown_model")
    assert error["available"] == ["generator", "second-generator"]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"inputs": ""}, "empty_input", "inputs[0]"),
        ({"inputs": ["a", " \n"]}, "empty_input", "inputs[1]"),
        ({"inputs": []}, "empty_input", "empty list"),
        ({"inputs": ["a"] * 257}, "invalid_request", "257 texts, the limit is 256"),
        ({"inputs": None}, "invalid_request", "expected a text, or a list of texts"),
        ({"inputs": ["a", 5]}, "invalid_request", "inputs[1] is 5"),
        ({}, "invalid_request", "inputs is missing"),
        ({"inputs": "a", "strem": True}, "unknown_parameter", "known are inputs, parameters, stream, model"),
        ({"inputs": "a", "parameters": {"beams": 4}}, "unknown_parameter", "parameters.beams is unknown"),
        ({"inputs": "a", "parameters": {"max_new_tokens": "5"}}, "invalid_request", 'max_new_tokens is "5"'),
        ({"inputs": "a", "parameters": {"max_new_tokens": 33}}, "invalid_request", "33, the model's limit is 32"),
        ({"inputs": "a", "parameters": {"temperature": 0}}, "invalid_request", "temperature is 0"),
        ({"inputs": "a", "parameters": {"top_p": 1.5}}, "invalid_request", "top_p is 1.5"),
        ({"inputs": "a", "parameters": {"seed": 2**63}}, "invalid_request", "seed is 9223372036854775808"),
        ({"inputs": "a", "parameters": {"best_of": 3}}, "invalid_request", "not supported"),
        ({"inputs": "a", "parameters": {"stop": "."}}, "invalid_request", 'stop is "."'),
        (
            {"inputs": "a", "parameters": {"stop": [""]}},
            "invalid_request",
            'stop[0] is "": expected one that is not empty',
        ),
        (
            {"inputs": "a", "parameters": {"stop": ["."] * 17}},
            "invalid_request",
            "it has 17 items, the limit is 16",
        ),
        ({"inputs": "a", "parameters": {"repetition_penalty": 0}}, "invalid_request", "repetition_penalty is 0"),
        (
            {"inputs": "a", "parameters": {"frequency_penalty": 3}},
            "invalid_request",
            "is 3: expected at most 2",
        ),
        ({"inputs": "a", "parameters": {"presence_penalty": -3}}, "invalid_request", "expected at least -2"),
        ({"inputs": "a", "parameters": {"typical_p": 0}}, "invalid_request", "typical_p is 0"),
        ({"inputs": "a", "parameters": {"min_p": 2}}, "invalid_request", "min_p is 2"),
        ({"inputs": "a", "parameters": {"top_n_tokens": 21}}, "invalid_request", "top_n_tokens is 21"),
        (
            {"inputs": "a", "parameters": {"min_new_tokens": 5, "max_new_tokens": 4}},
            "invalid_request",
            "parameters.min_new_tokens is 5, parameters.max_new_tokens is 4",
        ),
        ({"inputs": "a", "parameters": {"logit_bias": {"x": 1}}}, "invalid_request", "'x' is no token id"),
        ({"inputs": "a", "parameters": {"logit_bias": {"5": 200}}}, "invalid_request", "logit_bias[5] is 200"),
        ({"inputs": "a", "parameters": [1]}, "invalid_request", "expected an object"),
        ({"inputs": ["a", "b"], "stream": True}, "invalid_request", "2 inputs, the limit is 1"),
    ],
)
async def test_a_body_that_makes_no_sense_is_422_and_says_why(stand, client, body, code, words):
    response = await client.post("/generate", json=body)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (422, code)
    assert words in error["message"]
    assert not stand.generator.batches


async def test_a_classification_cannot_be_streamed(client):
    response = await client.post("/classify", json={"inputs": "a", "stream": True})
    assert response.status_code == 422
    assert "stream" in error_of(response)["message"]


async def test_what_clients_send_by_default_is_accepted(stand, client):
    neutral = {
        "best_of": 1,
        "decoder_input_details": False,
        "frequency_penalty": 0.0,
        "grammar": None,
        "repetition_penalty": 1.0,
        "presence_penalty": 0,
        "min_p": 0,
        "top_n_tokens": 0,
        "logit_bias": {},
        "stop": [],
        "typical_p": 1.0,
        "watermark": False,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": None,
    }
    response = await client.post("/generate", json={"inputs": "a", "parameters": neutral, "stream": None})
    assert response.status_code == 200
    assert stand.generator.seen[0].decoding.do_sample is False


@pytest.mark.parametrize(
    ("parameters", "samples"),
    [
        ({}, False),
        ({"temperature": 0.7}, True),
        ({"top_k": 5}, True),
        ({"top_p": 0.9}, True),
        ({"typical_p": 0.9}, True),
        ({"min_p": 0.05}, True),
        ({"repetition_penalty": 1.2, "presence_penalty": 1, "logit_bias": {"3": 1}, "stop": ["."]}, False),
        ({"seed": 1}, False),
        ({"do_sample": True}, True),
        ({"do_sample": False, "temperature": 0.7}, False),
    ],
)
async def test_a_sampling_parameter_implies_sampling_unless_it_is_refused(stand, client, parameters, samples):
    await client.post("/generate", json={"inputs": "a", "parameters": parameters})
    assert stand.generator.seen[0].decoding.do_sample is samples


async def test_one_failing_input_fails_the_request_and_cancels_the_others(stand, client):
    stand.generator.holding = {"slow"}
    stand.generator.failing = {"long": InputTooLong("81 tokens, the limit is 64", limit=64)}
    response = await client.post("/generate", json={"inputs": ["slow", "long", "slow"]})
    error = error_of(response)
    assert (response.status_code, error["code"], error["index"], error["limit"]) == (422, "input_too_long", 1, 64)
    await eventually(lambda: stand.generator.running == 0)
    assert stand.generator.closed == 1


async def test_a_passed_deadline_is_504_while_the_worker_still_works_and_cancels(stand, client):
    stand.generator.holding = {"a"}
    response = await client.post("/generate", json={"inputs": "a"}, headers={"x-request-timeout-ms": "60"})
    assert response.status_code == 504
    error = error_of(response)
    assert (error["code"], error["message"]) == ("deadline_exceeded", "no answer within 60 ms")
    await eventually(lambda: stand.generator.running == 0)
    assert abs(stand.generator.seen[0].deadline - time.time()) < 1


@pytest.mark.parametrize("given", ["soon", "-5", "0", "1e3", "٣", "9" * 20])
async def test_a_timeout_that_is_no_number_is_422(client, given):
    headers = {"x-request-timeout-ms": given.encode()}
    response = await client.post("/generate", json={"inputs": "a"}, headers=headers)
    assert response.status_code == 422
    assert "x-request-timeout-ms" in error_of(response)["message"]


async def test_the_settings_cap_the_timeout():
    stand = Stand({"request_timeout_s": 0.05})
    stand.generator.holding = {"a"}
    async with stand.client() as client:
        response = await client.post("/generate", json={"inputs": "a"}, headers={"x-request-timeout-ms": "60000"})
    assert response.status_code == 504
    assert "50 ms" in error_of(response)["message"]


async def test_a_full_gateway_refuses_with_retry_after():
    stand = Stand({"max_in_flight": 2})
    stand.generator.holding = {"a"}
    async with stand.client() as client:
        asking = asyncio.create_task(client.post("/generate", json={"inputs": ["a", "a"]}))
        await eventually(lambda: stand.generator.batches)
        refused = await client.post("/generate", json={"inputs": "b"})
        stand.generator.release()
        assert (await asking).status_code == 200
        assert (await client.post("/generate", json={"inputs": "b"})).status_code == 200
    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) == error["retry_after_s"] >= 1
    assert stand.sample("triptych_admission_refusals_total", reason="gateway") == 1


async def test_what_a_model_cannot_take_is_refused_before_it_travels_and_alone():
    stand = Stand(served={"slots": 1, "max_waiting": 2})
    for worker in stand.workers.values():
        worker.holding = {"a"}
    async with stand.client() as client:
        asking = asyncio.create_task(client.post("/generate", json={"inputs": ["a", "a"]}))
        await eventually(lambda: stand.generator.batches)
        refused = await client.post("/generate", json={"inputs": ["b", "b"]})
        assert refused.status_code == 503
        message = "model 'generator' is answering 2 texts, 2 more would exceed the limit of 3"
        assert error_of(refused)["message"] == message
        assert int(refused.headers["retry-after"]) == error_of(refused)["retry_after_s"]
        assert (await client.post("/generate", json={"inputs": "b"})).status_code == 200
        second = {"inputs": ["b", "b", "b"], "model": "second-generator"}
        assert (await client.post("/generate", json=second)).status_code == 200
        assert (await client.post("/classify", json={"inputs": ["b", "b"]})).status_code == 200
        stand.generator.release()
        assert (await asking).status_code == 200
    assert [request.text for request in stand.generator.seen] == ["a", "a", "b"]
    assert stand.sample("triptych_admission_refusals_total", reason="gateway") == 1


async def test_more_texts_than_a_model_can_ever_take_are_422():
    async with Stand(served={"slots": 1, "max_waiting": 2}).client() as client:
        response = await client.post("/generate", json={"inputs": ["a"] * 4})
    assert response.status_code == 422
    assert error_of(response)["limit"] == 3


@pytest.mark.parametrize(("said", "sent"), [({}, "10"), ({"retry_after_s": 7}, "7"), ({"retry_after_s": 1542.3}, "60")])
async def test_a_full_worker_refuses_with_retry_after_too(stand, client, said, sent):
    stand.generator.refusing = {"a": Overloaded("1024 requests wait, the limit is 1024", **said)}
    for stream in (False, True):
        response = await client.post("/generate", json={"inputs": "a", "stream": stream})
        assert response.status_code == 503
        assert response.headers["retry-after"] == sent
        assert error_of(response)["retry_after_s"] == int(sent)
    assert stand.sample("triptych_admission_refusals_total", reason="worker") == 2


async def test_a_worker_that_breaks_is_500_without_its_words(stand, client, caplog):
    stand.generator.breaks = RuntimeError("secret of the house")
    response = await client.post("/generate", json={"inputs": "a"})
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal"
    assert "secret" not in response.text
    assert "secret" in caplog.text


async def test_an_unexpected_exception_is_500_without_its_words(stand, client, caplog, monkeypatch):
    monkeypatch.setattr(GenerateBody, "rendered_one", lambda *_: 1 / 0)
    response = await client.post("/generate", json={"inputs": "a"}, headers={"x-request-id": "find-me"})
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal"
    assert "ZeroDivision" not in response.text
    assert any(record.request_id == "find-me" and record.exc_info for record in caplog.records)


async def test_a_model_that_is_not_ready_yet_is_503(stand):
    stand.generator.ready = False
    async with stand.client() as client:
        response = await client.post("/generate", json={"inputs": "a"})
    assert (response.status_code, error_of(response)["code"]) == (503, "not_ready")
    assert (
        1 <= int(response.headers["retry-after"]) <= 10
    )  # what is left of the usual time: none is known of this model


async def test_a_new_version_is_described_anew(stand, client):
    await client.post("/generate", json={"inputs": "a"})
    await client.post("/generate", json={"inputs": "a"})
    assert stand.generator.described == 1
    stand.generator.info = replace(stand.generator.info, version="generator@2", max_new_tokens=5)
    response = await client.post("/generate", json={"inputs": "a"})
    assert response.headers["x-model-version"] == "generator@2"
    response = await client.post("/generate", json={"inputs": "a", "parameters": {"max_new_tokens": 6}})
    assert response.status_code == 422


async def test_generate_parameters_of_the_translation_client_are_taken(stand, client):
    parameters = {"src_lang": "ko", "generate_parameters": {"max_new_tokens": 3}}
    assert (await client.post("/translate", json={"inputs": "a", "parameters": parameters})).status_code == 200
    assert stand.translator.seen[0].decoding.max_new_tokens == 3
    parameters = {"src_lang": "ko", "generate_parameters": {"beams": 3}}
    response = await client.post("/translate", json={"inputs": "a", "parameters": parameters})
    assert error_of(response)["code"] == "unknown_parameter"
