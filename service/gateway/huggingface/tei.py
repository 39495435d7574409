"""Text-embeddings-inference's routes beside /embed: /predict, /rerank, /similarity, /tokenize and /decode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.gateway.catalogue import ServedModel
from service.gateway.context import RequestContext, timeout_s
from service.gateway.huggingface import predict, rerank, tokens
from service.gateway.huggingface.embed import SimilarityBody
from service.gateway.huggingface.predict import PredictBody
from service.gateway.huggingface.rerank import Rank, RerankBody
from service.gateway.huggingface.routes import documentation, endpoint
from service.gateway.huggingface.tokens import DecodeBody, SimpleToken, TokenizeBody
from service.gateway.limits import check_total
from service.gateway.openapi import REF, error_answers
from service.gateway.parsing import read_body
from service.gateway.protocol import HttpProtocol
from service.gateway.routing import refuse
from service.gateway.traffic import Asked, Traffic
from service.messages import ModelInfo, Task

PREDICT, RERANK, SIMILARITY, TOKENIZE, DECODE = "/predict", "/rerank", "/similarity", "/tokenize", "/decode"
# What that server has and we do not: why.
_REFUSED = {
    "/embed_all": "vectors of single tokens are not given out: /embed gives one for each text",
    "/embed_sparse": "no model that is served was trained for sparse vectors: /embed gives dense ones",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    described: dict[str, tuple[Endpoint, dict[str, Any]]] = {
        PREDICT: (_predicting(traffic), _documentation(PredictBody, predict.ANSWER, "Label texts, as TEI does")),
        RERANK: (_ranking(traffic), _documentation(RerankBody, list[Rank], "Which texts say most on a query")),
        SIMILARITY: (endpoint(traffic, "embed", SimilarityBody), documentation(SimilarityBody)),
        TOKENIZE: (_tokenizing(traffic), _documentation(TokenizeBody, list[list[SimpleToken]], "The tokens of texts")),
        DECODE: (_decoding(traffic), _documentation(DecodeBody, list[str], "The texts of tokens")),
    }
    for route, (answer, documented) in described.items():
        app.add_api_route(route, answer, methods=["POST"], name=route.lstrip("/"), **documented)
    for route, why in _REFUSED.items():
        refuse(app, "POST", route, why, 422, name=route.lstrip("/"), tags=["tasks"], responses=error_answers(422, 500))


def _predicting(traffic: Traffic) -> Endpoint:
    async def answer(request: Request) -> Response:
        body = await read_body(request, PredictBody)
        body.check(traffic.max_inputs)
        asked = Asked(
            task="classify",
            model=body.model,
            inputs=len(body.inputs),
            texts=list(body.all_texts()),
            requests=body.requests,
        )
        call = await traffic.prepare(request, asked)
        return JSONResponse(body.rendered(await traffic.answering.all(call, request.receive)))

    return answer


def _ranking(traffic: Traffic) -> Endpoint:
    async def answer(request: Request) -> Response:
        body = await read_body(request, RerankBody)
        body.check(traffic.max_inputs)
        model, info = await body.model_of(traffic.catalogue)
        asked = Asked(
            task=model.task,
            model=model.name,
            inputs=len(body.texts),
            texts=list(body.all_texts()),
            requests=body.requests,
        )
        call = await traffic.prepare(request, asked)
        return JSONResponse(body.rendered(await traffic.answering.all(call, request.receive), info))

    return answer


def _tokenizing(traffic: Traffic) -> Endpoint:
    async def answer(request: Request) -> Response:
        body = await read_body(request, TokenizeBody)
        body.check(traffic.max_inputs)
        check_total(body.texts(), traffic.settings.max_characters)
        ask = body.asked()
        found = await _asked_at_once(
            traffic, request, body.model, len(body.inputs), lambda model: model.worker.tokenize(ask)
        )
        return JSONResponse(tokens.rendered(found))

    return answer


def _decoding(traffic: Traffic) -> Endpoint:
    async def answer(request: Request) -> Response:
        body = await read_body(request, DecodeBody)
        body.check(traffic.max_inputs, traffic.settings.max_characters)
        ask = body.asked()
        found = await _asked_at_once(
            traffic, request, body.model, len(body.ids), lambda model: model.worker.detokenize(ask)
        )
        return JSONResponse(found)

    return answer


async def _asked_at_once(
    traffic: Traffic, request: Request, name: str | None, texts: int, ask: Callable[[ServedModel], Awaitable[Any]]
) -> Any:
    """What a worker says without a step of its model."""
    context = RequestContext.of(request.scope)
    context.texts = texts
    model = traffic.catalogue.any(name)
    context.model = model.name
    timeout = timeout_s(request.headers, traffic.settings.request_timeout_s)
    async with traffic.room(texts, context, timeout):
        context.model_version = (await model.info()).version
        return await ask(model)


def _documentation(body: type[BaseModel], answer: Any, summary: str) -> dict[str, Any]:
    """Keyword arguments of the route."""
    content = {"schema": {"$ref": REF.format(model=body.__name__)}}
    return {
        "summary": summary,
        "tags": ["tasks"],
        "responses": {200: {"model": answer}, **error_answers(400, 404, 408, 413, 415, 422, 500, 503, 504)},
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": content}}},
    }


def _examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """Made of those that the models have for /classify and /embed, and of the texts of any."""
    found: dict[str, dict[str, Any]] = {}
    texts = [text for model in models for text in _texts(model)]
    if texts:
        found[TOKENIZE] = {"A text": {"inputs": texts[0]}}
    if models:
        found[DECODE] = {"Two tokens": {"ids": [5, 6]}}
    if labelled := [text for model in models if model.task == "classify" for text in _texts(model)]:
        found[PREDICT] = {"Several texts": {"inputs": [[text] for text in labelled[:3]]}}
    if len(embedded := [text for model in models if model.task == "embed" for text in _texts(model)]) > 1:
        first, *others = embedded[:4]
        found[RERANK] = {"Some texts": {"query": first, "texts": others, "return_text": True}}
        found[SIMILARITY] = {"Some texts": {"inputs": {"source_sentence": first, "sentences": others}}}
    return found


def _texts(model: ModelInfo) -> list[str]:
    """Those of its examples, each of them once."""
    given = [body.get("inputs") for body in model.examples.values()]
    listed = [text for inputs in given for text in (inputs if isinstance(inputs, list) else [inputs])]
    texts = [text["text"] if isinstance(text, dict) and "text" in text else text for text in listed]
    return list(dict.fromkeys(text for text in texts if isinstance(text, str)))


TEI = HttpProtocol(
    add_routes=_add_routes,
    tasks={PREDICT: "classify", RERANK: rerank.TASKS, SIMILARITY: "embed"},
    schemas=(PredictBody, RerankBody, SimilarityBody, TokenizeBody, DecodeBody),
    examples=_examples,
)
