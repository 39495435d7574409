"""A route for each kind of body: reads it, has it answered, and says the answer as OpenAI does."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.gateway.answering import Call
from service.gateway.context import RequestContext
from service.gateway.openai.body import Head, OpenAIBody
from service.gateway.openai.chats import ChatBody, ChatCompletionChunk
from service.gateway.openai.completions import CompletionBody, TextCompletionChunk
from service.gateway.openai.embeddings import EmbeddingsBody
from service.gateway.openai.errors import OpenAIError, error_answer
from service.gateway.openai.models import ModelList, ModelObject, models_of, unknown
from service.gateway.openai.sampling import SamplingBody
from service.gateway.openapi import REF, error_answers
from service.gateway.parsing import read_body
from service.gateway.protocol import HttpProtocol
from service.gateway.routing import get
from service.gateway.streaming import EventStream
from service.gateway.traffic import Asked, Traffic
from service.messages import ModelInfo, Task

PREFIX = "/v1"
PREFIXES = (PREFIX, "/generate/v1")  # the first is the one that is documented
BODIES: dict[str, type[OpenAIBody]] = {
    "/completions": CompletionBody,
    "/chat/completions": ChatBody,
    "/embeddings": EmbeddingsBody,
}
NAMED = {"parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]}
MODELS, MODEL = "/models", "/models/{model}"


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    created = int(time.time())  # of every model, as far as this process knows
    for prefix in PREFIXES:
        shown: dict[str, Any] = {"include_in_schema": prefix == PREFIX}
        for route, body in BODIES.items():
            app.add_api_route(
                f"{prefix}{route}", _endpoint(traffic, body), methods=["POST"], **_documentation(body), **shown
            )
        _add_models(app, prefix, traffic, created, shown)


def _add_models(app: FastAPI, prefix: str, traffic: Traffic, created: int, shown: dict[str, Any]) -> None:
    served = models_of(traffic.catalogue, {body.task for body in BODIES.values()}, created)
    described = {"tags": ["openai"], **shown}

    listed = {200: {"model": ModelList}, **error_answers(500, model=OpenAIError)}

    @get(app, f"{prefix}{MODELS}", summary="The models", responses=listed, **described)
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": list(served.values())})

    answers = {200: {"model": ModelObject}, **error_answers(404, 500, model=OpenAIError)}

    @get(app, f"{prefix}{MODEL}", summary="One model", responses=answers, openapi_extra=NAMED, **described)
    async def one(request: Request) -> Response:
        name = request.path_params["model"]
        if name not in served:
            raise unknown(name, served.keys())
        return JSONResponse(served[name])


def _endpoint(traffic: Traffic, kind: type[OpenAIBody]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await read_body(request, kind)
        RequestContext.of(request.scope).error_shape = partial(error_answer, inputs=body.inputs)
        body.check(traffic.max_inputs)
        asked = Asked(
            task=body.task,
            model=body.model_name,
            inputs=body.count,
            texts=body.texts(),
            requests=body.requests,
            tokens=body.tokens,
            called=body.called,
        )
        call = await traffic.prepare(request, asked)
        if isinstance(body, SamplingBody) and body.streamed:  # the others are answered as a whole
            rendering = body.rendering(_head(call), [one.id for one in call.requests])
            return EventStream(traffic, call, rendering)
        answers = await traffic.answering.all(call, request.receive)
        return JSONResponse(body.answered(_head(call), answers))

    return endpoint


def _head(call: Call) -> Head:
    context = call.context
    return Head(
        id=context.request_id, created=int(time.time()), model=call.model.name, fingerprint=context.model_version
    )


def _documentation(body: type[OpenAIBody]) -> dict[str, Any]:
    """Keyword arguments of the route."""
    content = {"schema": {"$ref": REF.format(model=body.__name__)}}
    success: dict[str, Any] = {"model": body.answer, "description": "The answer"}
    if body.event is not None:
        success["content"] = {"text/event-stream": {"itemSchema": body.event}}
    errors = error_answers(400, 404, 408, 413, 415, 422, 500, 503, 504, model=OpenAIError)
    return {
        "summary": body.summary,
        "tags": ["openai"],
        "responses": {200: success, **errors},
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": content}}},
    }


def _examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """Made of the text of each model's first example."""
    found: dict[str, dict[str, Any]] = {}
    for info in models:
        inputs = next((example.get("inputs") for example in info.examples.values()), None)
        text = inputs[0] if isinstance(inputs, list) and inputs else inputs
        if not isinstance(text, str):
            continue
        if info.task == "generate":
            asked = {"model": info.name, "prompt": text, "max_tokens": min(20, info.max_new_tokens), "temperature": 0}
            shown = {info.name: asked, f"{info.name}: a stream": {**asked, "stream": True}}
            found.setdefault(f"{PREFIX}/completions", {}).update(shown)
        if info.takes_messages:
            message = {"model": info.name, "messages": [{"role": "user", "content": text}]}
            found.setdefault(f"{PREFIX}/chat/completions", {})[info.name] = message
        if info.task == "embed":
            found.setdefault(f"{PREFIX}/embeddings", {})[info.name] = {"model": info.name, "input": text}
    return found


OPENAI = HttpProtocol(
    add_routes=_add_routes,
    prefixes=PREFIXES,
    error_shape=error_answer,
    tasks={f"{prefix}{route}": body.task for prefix in PREFIXES for route, body in BODIES.items()},
    description="Completions, chats and embeddings as OpenAI has them, below /v1 and below /generate/v1.",
    schemas=(*BODIES.values(), TextCompletionChunk, ChatCompletionChunk),
    examples=_examples,
)
