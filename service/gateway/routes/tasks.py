"""POST /translate, /generate and /classify: Hugging Face's Inference convention.

Knows nothing of how a call is answered, only in what shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.config import GatewaySettings
from service.gateway import rendering
from service.gateway.answering import Answering, Call
from service.gateway.catalog import Catalog
from service.gateway.context import RequestContext, timeout_s
from service.gateway.openapi import task_documentation
from service.gateway.parsing import read_body
from service.gateway.requests import RequestFactory, TaskBody, check_inputs, check_lengths
from service.gateway.schemas import ClassifyBody, GenerateBody, TranslateBody
from service.gateway.streaming import EventStream
from service.messages import ModelInfo, Task
from service.messages import Request as WorkerRequest

MakeRequests = Callable[[RequestFactory, ModelInfo], Sequence[WorkerRequest]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What the endpoints work with."""

    settings: GatewaySettings
    catalog: Catalog
    answering: Answering

    async def prepare(
        self,
        request: Request,
        body: TaskBody,
        task: Task,
        make: MakeRequests,
        *,
        tokens: bool = False,
    ) -> Call:
        """Everything that can be refused without asking a worker. `tokens`: the worker is to send each of them."""
        check_inputs(body, min(self.settings.max_inputs, self.settings.max_in_flight))
        context = RequestContext.of(request.scope)
        context.texts = len(body.inputs)
        timeout = timeout_s(request.headers, self.settings.request_timeout_s)
        model = self.catalog.find(task, body.model)
        context.model = model.name
        info = await model.info()
        context.model_version = info.version
        check_lengths(body, info)
        factory = RequestFactory(context.request_id, timeout - context.seconds(), stream=tokens)
        return Call(context=context, model=model, requests=make(factory, info), timeout_s=timeout)


def add_task_routes(app: FastAPI, gateway: Gateway) -> None:
    answering = gateway.answering

    @app.post("/translate", **task_documentation("translate"))
    async def translate(request: Request) -> Response:
        body = await read_body(request, TranslateBody)
        call = await gateway.prepare(
            request,
            body,
            "translate",
            lambda factory, info: factory.translate(body, info),
            tokens=bool(body.stream),
        )
        if body.stream:
            return EventStream(answering, call)
        return JSONResponse([rendering.translation(answer) for answer in await answering.all(call, request.receive)])

    @app.post("/generate", **task_documentation("generate"))
    async def generate(request: Request) -> Response:
        body = await read_body(request, GenerateBody)
        details = bool(body.parameters and body.parameters.details)
        call = await gateway.prepare(
            request,
            body,
            "generate",
            lambda factory, info: factory.generate(body, info),
            tokens=bool(body.stream) or details,
        )
        if body.stream:
            return EventStream(answering, call)
        answers = await answering.all(call, request.receive)
        return JSONResponse([rendering.generation(answer, details=details) for answer in answers])

    @app.post("/classify", **task_documentation("classify"))
    async def classify(request: Request) -> Response:
        body = await read_body(request, ClassifyBody)
        call = await gateway.prepare(request, body, "classify", lambda factory, info: factory.classify(body, info))
        return JSONResponse([rendering.classification(answer) for answer in await answering.all(call, request.receive)])
