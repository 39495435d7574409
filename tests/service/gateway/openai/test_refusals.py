"""What is refused below /v1, in OpenAI's shape, with the name that the client sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from service.errors import InputTooLong, InvalidRequest, ServiceError
from service.gateway.openai.routes import BODIES
from service.gateway.parsing import parse_body
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually

HELLO = [{"role": "user", "content": "hello"}]


async def refused(client: httpx.AsyncClient, route: str, body: Any) -> tuple[int, str, str | None, str]:
    """Status, code, param and message."""
    response = await client.post(f"/v1/{route}", json=body)
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return response.status_code, error["code"], error["param"], error["message"]


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"prompt": {"a": 1}}, "prompt", 'prompt is {"a": 1}: expected a text, a list of texts, a list of token ids'),
        ({"prompt": ["a", 1]}, "prompt", "expected a text, a list of texts, a list of token ids"),
        ({"prompt": [True]}, "prompt", "expected a text"),
        ({"prompt": []}, "prompt", "prompt is an empty list"),
        ({"prompt": ["a", " "]}, "prompt[1]", 'prompt[1] is " ": there is nothing to work on'),
        ({"prompt": ["a"] * 20, "n": 16}, "prompt", "the request asks for 320 answers, the limit is"),
        ({"max_tokens": 33}, "max_tokens", "max_tokens is 33, the model's limit is 32"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens is 0: expected at least 1"),
        ({"min_tokens": 20}, "min_tokens", "min_tokens is 20, max_tokens is 16"),
        ({"temperature": -1}, "temperature", "temperature is -1"),
        ({"stop": ["a"] * 17}, "stop", "stop is"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "'x' is no token id"),
        ({"best_of": 3, "n": 2}, "best_of", "best_of is 3, n is 2: choosing among more is not supported"),
        ({"suffix": "end"}, "suffix", "this parameter is not supported"),
        ({"echo": True, "logprobs": 1}, "echo", "log-probabilities of prompts are not supported"),
        ({"echo": True, "prompt": [1]}, "echo", "it is for prompts that are texts"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream_options is given without stream: true"),
        ({"colour": 1}, "colour", "colour is unknown; known are model, prompt, max_tokens"),
    ],
)
async def test_a_completion_that_cannot_be(client: httpx.AsyncClient, fields: dict, param: str, said: str) -> None:
    status, _, named, message = await refused(client, "completions", {"prompt": "a", **fields})
    assert (status, named) == (422, param)
    assert said in message


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"messages": []}, "messages", "expected one that is not empty"),
        ({"messages": "hello"}, "messages", 'messages is "hello": expected a list'),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role", 'expected "system", "developer"'),
        ({"messages": [{"role": "user", "content": " "}]}, "messages", "messages say nothing"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content",
            'expected a text, or a list of parts of the type "text"',
        ),
        ({"tools": [{"type": "function"}]}, "tools", "this parameter is not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "this parameter is not supported"),
        ({"top_logprobs": 2}, "top_logprobs", "top_logprobs is 2 without logprobs: true"),
        ({"max_completion_tokens": 33}, "max_completion_tokens", "max_completion_tokens is 33, the model's limit is"),
        ({"max_tokens": 33}, "max_tokens", "max_tokens is 33, the model's limit is 32"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, None, "they are the same, send one"),
    ],
)
async def test_a_chat_that_cannot_be(client: httpx.AsyncClient, fields: dict, param: str | None, said: str) -> None:
    body = {"model": "second-generator", "messages": HELLO, **fields}
    status, _, named, message = await refused(client, "chat/completions", body)
    assert (status, named or None) == (422, param)
    assert said in message


async def test_what_changes_nothing_is_taken(client: httpx.AsyncClient) -> None:
    neutral = {"tools": [], "tool_choice": "auto", "response_format": {"type": "text"}, "n": 1, "store": False}
    body = {"model": "second-generator", "messages": HELLO, **neutral}
    assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
    body = {"prompt": "a", "best_of": 1, "suffix": None, "presence_penalty": 0, "stop": None, "echo": False}
    assert (await client.post("/v1/completions", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"input": [1, 2]}, "input", "expected a text, or a list of texts (token ids would be those of another model)"),
        ({"input": ""}, "input", "there is nothing to work on"),
        ({"dimensions": 64}, "dimensions", "this parameter is not supported"),
        ({"encoding_format": "int8"}, "encoding_format", 'expected "float" or "base64"'),
        ({"stream": True}, "stream", "stream is unknown"),
    ],
)
async def test_an_embedding_that_cannot_be(client: httpx.AsyncClient, fields: dict, param: str, said: str) -> None:
    status, _, named, message = await refused(client, "embeddings", {"input": "a", **fields})
    assert (status, named) == (422, param)
    assert said in message


async def test_a_worker_speaks_of_parameters_as_the_client_does(stand: Stand, client: httpx.AsyncClient) -> None:
    said = "max_new_tokens is 16, the limit after a prompt of 60 tokens is 4"
    room = InvalidRequest(said, parameter="max_new_tokens")
    stand.generator.refusing = {"a": room, "b": InputTooLong("the text has 99 tokens, the limit is 64")}
    for stream in (False, True):
        status, code, param, message = await refused(client, "completions", {"prompt": "a", "stream": stream})
        assert (status, code, param) == (422, "invalid_request", "max_tokens")
        assert message == "max_tokens is 16, the limit after a prompt of 60 tokens is 4"
        _, code, param, _ = await refused(client, "completions", {"prompt": ["c", "b"], "stream": False})
        assert (code, param) == ("context_length_exceeded", "prompt")


async def test_too_long_a_text_is_refused_before_it_travels() -> None:
    stand = Stand()
    stand.chatter.info = replace(stand.chatter.info, max_characters=5)
    body = {"model": "second-generator", "messages": [*HELLO, {"role": "user", "content": "hello you"}]}
    async with stand.client() as client:
        status, code, param, message = await refused(client, "chat/completions", body)
    assert (status, code, param) == (422, "context_length_exceeded", "messages")
    assert message == "messages[1].content has 9 characters, the limit is 5"
    assert not stand.chatter.seen


async def test_what_no_endpoint_sees_has_the_shape_too(client: httpx.AsyncClient) -> None:
    for prefix in ("/v1", "/generate/v1"):
        nowhere = await client.get(f"{prefix}/nowhere")
        assert (nowhere.status_code, nowhere.json()["error"]["type"]) == (404, "invalid_request_error")
        wrong = await client.get(f"{prefix}/completions")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
        assert (await client.post(f"{prefix}/completions", content=b"{")).json()["error"]["code"] == "bad_request"


async def test_a_full_model_refuses_before_the_body_is_read() -> None:
    stand = Stand(served={"slots": 1, "max_waiting": 1})
    async with stand.client() as client:
        for worker in (stand.generator, stand.chatter):
            worker.holding = {"a"}
        holding = [
            asyncio.create_task(client.post("/v1/completions", json={"prompt": ["a", "a"], "model": name}))
            for name in ("generator", "second-generator")
        ]
        await eventually(lambda: len(stand.generator.seen) + len(stand.chatter.seen) == 4)
        for route in ("/v1/completions", "/v1/chat/completions", "/generate/v1/completions"):
            response = await client.post(route, content=b"not even JSON")
            assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")
            assert response.headers["retry-after"]
            assert stand.sample("triptych_http_errors_total", route=route, code="overloaded") == 1
        for worker in (stand.generator, stand.chatter):
            worker.release()
        await asyncio.gather(*holding)


@pytest.mark.parametrize("name", ["tgi", "dummy", "http://127.0.0.1:8000/generate"])
async def test_who_knows_no_name_gets_the_first(stand: Stand, client: httpx.AsyncClient, name: str) -> None:
    response = await client.post("/generate/v1/completions", json={"prompt": "a", "model": name})
    assert response.json()["model"] == "generator"


VALUES = [None, True, False, -1, 0, 1, 2, 0.5, 101, "", "1", "auto", [], ["."], [1], [[1]], {}, {"3": 1}]
VALUES += [{"type": "text"}, ["text"], "float"]
LEAST: dict[str, dict[str, Any]] = {
    "/completions": {"prompt": "a"},
    "/chat/completions": {"messages": HELLO},
    "/embeddings": {"input": "a"},
}


@pytest.mark.parametrize("route", BODIES)
def test_each_field_takes_exactly_what_the_document_says(route: str) -> None:
    document = Stand().app.openapi()
    kind = BODIES[route]
    schema = document["components"]["schemas"][kind.__name__]
    valid = Draft202012Validator({**schema, "components": document["components"]})
    for field in schema["properties"]:
        for value in VALUES:
            if field == kind.inputs and value in ("", []):  # what is empty has an error of its own, later
                continue
            body = {**LEAST[route], field: value}
            said = "it is taken"
            try:
                parse_body(httpx.Request("POST", "http://x", json=body).content, kind)
            except ServiceError as error:
                said = error.message
            assert valid.is_valid(body) == (said == "it is taken"), f"{body}: {said}"


async def test_examples_are_of_the_models_that_answer_and_are_answered(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    for route in BODIES:
        examples = paths[f"/v1{route}"]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert examples
        for example in examples.values():
            assert (await client.post(f"/v1{route}", json=example["value"])).status_code == 200
    assert not [path for path in paths if path.startswith("/generate/")], "the second prefix is told in words"
