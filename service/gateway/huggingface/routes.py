"""A route for each task: reads its body, has it answered, and says the answer in its words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.gateway.answering import Call
from service.gateway.errors import ErrorAnswer
from service.gateway.huggingface.body import InputsBody, TaskBody
from service.gateway.huggingface.detect import DetectBody
from service.gateway.huggingface.other_tasks import read_task_body
from service.gateway.huggingface.streams import StreamEvent, TokenStream, event_schema
from service.gateway.huggingface.tasks import TASKS
from service.gateway.openapi import REF, error_answers
from service.gateway.protocol import HttpProtocol
from service.gateway.streaming import EventStream, Rendering
from service.gateway.traffic import Asked, Traffic
from service.gateway.translations import ranked
from service.messages import ModelInfo, Task

ROUTES: dict[str, Task] = {f"/{task}": task for task in TASKS}
DETECT = "/detect"  # which no worker answers


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    for route, task in ROUTES.items():
        answer, described = endpoint(traffic, task, TASKS[task]), documentation(TASKS[task])
        app.add_api_route(route, answer, methods=["POST"], name=task, **described)
    app.add_api_route(DETECT, _detecting(traffic), methods=["POST"], name="detect", **documentation(DetectBody))


def _token_stream(call: Call) -> Rendering:
    return TokenStream(*call.detected)


def endpoint(
    traffic: Traffic, task: Task, schema: type[TaskBody], stream_of: Callable[[Call], Rendering] = _token_stream
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        body = await read_task_body(request, schema)
        body.check(traffic.max_inputs)
        asked = Asked(
            task=task,
            model=body.model,
            inputs=body.count,
            texts=list(body.all_texts()),
            requests=body.requests,
            tokens=body.tokens,
            detect=body.detect,
            called=body.called,
        )
        call = await traffic.prepare(request, asked)
        if body.streams:
            return EventStream(traffic, call, stream_of(call))
        return JSONResponse(body.rendered(await traffic.answering.all(call, request.receive)))

    return answer


def _detecting(traffic: Traffic) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await read_task_body(request, DetectBody)
        body.check(traffic.max_inputs)
        return JSONResponse(body.rendered(await ranked(traffic, request, list(body.texts()), body.model)))

    return endpoint


def documentation(body: type[InputsBody], errors: type[ErrorAnswer] = ErrorAnswer) -> dict[str, Any]:
    """Keyword arguments of the route."""
    content = {"schema": {"$ref": REF.format(model=body.__name__)}}
    success: dict[str, Any] = {"model": body.answer, "description": "One answer for each input, in order"}
    if not body.one_event:
        success["content"] = {"text/event-stream": {"itemSchema": event_schema(errors)}}
    if body.answer is None:
        del success["model"]
    return {
        "response_class": JSONResponse if body.answer is not None else Response,
        "summary": body.summary,
        "tags": ["tasks"],
        "responses": {200: success, **error_answers(400, 404, 408, 413, 415, 422, 500, 503, 504, model=errors)},
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": content}}},
    }


def _examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """Those of the models; each names its model where several have the task."""
    found: dict[str, dict[str, Any]] = {}
    for route, task in ROUTES.items():
        named = tasks.count(task) > 1
        examples = {
            f"{model.name}: {shown}" if named else shown: {**body, "model": model.name} if named else body
            for model in models
            if model.task == task
            for shown, body in model.examples.items()
        }
        if examples:
            found[route] = examples
    if texts := _translated(models):
        found[DETECT] = {"Several texts": {"inputs": texts}}
    return found


def _translated(models: Sequence[ModelInfo]) -> list[str]:
    """The texts of the translators' examples, each of them once."""
    inputs = (body.get("inputs") for model in models if model.task == "translate" for body in model.examples.values())
    texts = [text for given in inputs for text in (given if isinstance(given, list) else [given])]
    return list(dict.fromkeys(text for text in texts if isinstance(text, str)))


HUGGINGFACE = HttpProtocol(
    add_routes=_add_routes,
    tasks=ROUTES,
    description="Translate, generate, classify and embed, in the Hugging Face Inference convention.",
    schemas=(*TASKS.values(), DetectBody, StreamEvent),
    examples=_examples,
)
