"""A protocol is a folder and a line: one that is made up here speaks its own way over the same traffic.

It has routes below a prefix, bodies, a header for who asks, errors, streams and documentation of its own, and nothing
of the gateway knows of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import InputTooLong, ServiceError, Unauthorized
from service.gateway import app as gateway_app
from service.gateway.app import PROTOCOLS
from service.gateway.errors import error_answer
from service.gateway.fields import Body, Texts, fields_of
from service.gateway.huggingface.tgi import tgi_error
from service.gateway.limits import NamedText, check_decoding
from service.gateway.openapi import REF, error_answers
from service.gateway.parsing import read_body
from service.gateway.protocol import HttpProtocol, protocol_at
from service.gateway.streaming import EventStream
from service.gateway.traffic import Asked, Envelope, Traffic
from service.messages import Completion, Decoding, Event, GenerateRequest, ModelInfo, Task, Token
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually

TEMPERATURE: Any = fields_of(Decoding)["temperature"]


class SayBody(Body):
    shape = "an object with words"
    expected = {"words": "words"}  # noqa: RUF012

    words: Texts
    heat: TEMPERATURE[0] = TEMPERATURE[1]
    flow: bool = False


class Flow:
    """Its streams: the bare text of each token, and a line that says when it is over."""

    def events(self, events: Sequence[Event]) -> Iterator[bytes]:
        for event in events:
            if isinstance(event, Token):
                yield f"data: {event.text}\n\n".encode()
            elif isinstance(event, Completion):
                yield b"data: [OVER]\n\n"

    def error(self, error: ServiceError, request_id: str) -> bytes:
        return f"data: {json.dumps(problem(error, request_id)[1])}\n\n".encode()


def problem(error: ServiceError, request_id: str) -> tuple[int, dict[str, Any]]:
    """Its errors: another shape, and 400 for whatever is wrong with a body."""
    return 400 if error.status == 422 else error.status, {"problem": error.message, "kind": error.code}


def add_routes(app: FastAPI, traffic: Traffic) -> None:
    document = {"requestBody": {"content": {"application/json": {"schema": {"$ref": REF.format(model="SayBody")}}}}}

    @app.post("/odd/say", summary="Say it", tags=["odd"], responses=error_answers(503), openapi_extra=document)
    async def say(request: Request) -> Response:
        if request.headers.get("x-who") != "me":
            raise Unauthorized("this needs the header x-who")
        body = await read_body(request, SayBody)
        decoding = Decoding(do_sample=body.heat is not None, temperature=body.heat or 1.0)

        def requests(info: ModelInfo, envelope: Envelope) -> list[GenerateRequest]:
            check_decoding(decoding, info)
            return [
                GenerateRequest(text=text, decoding=decoding, **envelope.of(index))
                for index, text in enumerate(body.words)
            ]

        texts = [NamedText(index, f"word {index}", text) for index, text in enumerate(body.words)]
        asked = Asked(task="generate", model=None, inputs=len(texts), texts=texts, requests=requests, tokens=body.flow)
        call = await traffic.prepare(request, asked)
        if body.flow:
            return EventStream(traffic, call, Flow())
        answers = await traffic.answering.all(call, request.receive)
        return JSONResponse(
            {"said": [answer.result.text for answer in answers if isinstance(answer.result, Completion)]}
        )


def examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    return {"/odd/say": {f"With one of {len(models)}": {"words": "a"}}}


ODD = HttpProtocol(
    add_routes=add_routes,
    prefixes=["/odd"],
    error_shape=problem,
    tasks={"/odd/say": "generate"},
    description="And oddly.",
    schemas=[SayBody],
    examples=examples,
)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr(gateway_app, "PROTOCOLS", (*PROTOCOLS, ODD))
    stand = Stand(served={"slots": 1, "max_waiting": 1})
    stand.generator.info = replace(stand.generator.info, max_characters=5)
    return stand


@pytest.fixture
async def client(stand: Stand) -> Any:
    transport = httpx.ASGITransport(app=stand.app, raise_app_exceptions=False)
    async with (
        stand.app.router.lifespan_context(stand.app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway", headers={"x-who": "me"}) as client,
    ):
        yield client


async def test_it_answers_in_its_own_shape_with_the_headers_of_all(stand: Stand, client: httpx.AsyncClient) -> None:
    response = await client.post("/odd/say", json={"words": ["a b", "c"], "heat": 0.5})
    assert (response.status_code, response.json()) == (200, {"said": ["A B", "C"]})
    assert response.headers["x-model-version"] == "generator@1"
    assert response.headers["x-queue-time-ms"] == "1.25"
    assert [request.decoding for request in stand.generator.seen] == [Decoding(do_sample=True, temperature=0.5)] * 2
    assert stand.sample("triptych_http_requests_total", route="/odd/say", status="200") == 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"words": "a", "heat": 0}, 400, "heat is 0: expected more than 0"),
        ({"words": 5}, 400, "words[0] is 5: expected words"),
        ({"words": "a", "cold": 1}, 400, "cold is unknown; known are words, heat, flow"),
        ([], 400, "the body is [], expected an object with words"),
        ({"words": ["a", "a" * 9]}, 400, "word 1 has 9 characters, the limit is 5"),
        ({"words": ["a"] * 3}, 400, "3 texts in one request, model 'generator' takes at most 2 at once"),
    ],
)
async def test_whatever_refuses_says_it_in_the_protocols_shape(
    stand: Stand, client: httpx.AsyncClient, body: object, status: int, said: str
) -> None:
    response = await client.post("/odd/say", json=body)
    assert (response.status_code, response.json()["problem"]) == (status, said)
    assert response.headers["x-request-id"]


async def test_what_no_endpoint_sees_is_told_in_its_shape_below_its_prefix_alone(
    stand: Stand, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.get("/odd/nowhere")).json()["kind"] == "not_found"
    assert (await client.get("/odd/say")).json()["kind"] == "method_not_allowed"
    assert (await client.get("/oddly")).json()["error"]["code"] == "not_found"
    assert (await client.post("/generate", json={})).json()["error"]["code"] == "invalid_request"
    assert (await client.post("/odd/say", headers={"x-who": "you"})).json()["kind"] == "unauthorized"
    monkeypatch.setattr(Traffic, "prepare", lambda *_: 1 / 0)
    assert (await client.post("/odd/say", json={"words": "a"})).json()["kind"] == "internal"


async def test_a_full_model_refuses_before_the_body_is_read_with_retry_after(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    for name in ("generator", "second-generator"):
        stand.workers[name].holding = {"a"}
    holding = [
        asyncio.create_task(client.post("/generate", json={"inputs": ["a", "a"], "model": name}))
        for name in ("generator", "second-generator")
    ]
    await eventually(lambda: len(stand.generator.seen) + len(stand.workers["second-generator"].seen) == 4)
    response = await client.post("/odd/say", content=b"not even JSON")
    assert (response.status_code, response.json()["kind"]) == (503, "overloaded")
    assert response.headers["retry-after"] == "10"
    for name in ("generator", "second-generator"):
        stand.workers[name].release()
    await asyncio.gather(*holding)


async def test_it_streams_in_its_own_frames(stand: Stand, client: httpx.AsyncClient) -> None:
    response = await client.post("/odd/say", json={"words": "a b", "flow": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.split("\n\n") == ["data: A", "data:  B", "data: [OVER]", ""]
    stand.generator.failing_after_first = {"a b c": InputTooLong("too much")}
    broken = await client.post("/odd/say", json={"words": "a b c", "flow": True})
    assert broken.text.split("\n\n") == ["data: A", 'data: {"problem": "too much", "kind": "input_too_long"}', ""]
    assert stand.sample("triptych_http_errors_total", route="/odd/say", code="input_too_long") == 1
    assert stand.sample("triptych_http_time_to_first_token_seconds_count", route="/odd/say") == 2


async def test_it_documents_itself(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert ". And oddly. " in document["info"]["description"]
    content = document["paths"]["/odd/say"]["post"]["requestBody"]["content"]["application/json"]
    assert content["examples"] == {"With one of 5": {"value": {"words": "a"}}}
    assert list(document["components"]["schemas"]["SayBody"]["properties"]) == ["words", "heat", "flow"]
    assert "POST /odd/say" in (await client.get("/docs")).text


def test_every_folder_of_the_gateway_is_a_protocol_of_the_app() -> None:
    folders = {path.parent.name for path in Path(gateway_app.__file__).parent.glob("*/__init__.py")}
    assert {protocol.add_routes.__module__.split(".")[2] for protocol in PROTOCOLS} == folders


def test_errors_of_a_route_are_told_as_its_protocol_does_also_where_it_has_no_prefix() -> None:
    assert {protocol_at(PROTOCOLS, path).error_shape for path in ("/", "/generate_stream")} == {tgi_error}


def test_the_longest_prefix_decides_whose_errors_are_told() -> None:
    assert protocol_at((*PROTOCOLS, ODD), "/odd/say").error_shape is problem
    with_another = replace(ODD, prefixes=["/queer", "/odd"])
    assert {protocol_at([with_another], path).error_shape for path in ("/odd/say", "/queer/say")} == {problem}
    for path in ("/odd", "/oddly/say", "/translate", "/generate/x", ""):
        assert protocol_at((*PROTOCOLS, ODD), path).error_shape is error_answer
