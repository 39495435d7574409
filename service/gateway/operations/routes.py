"""The routes that show: /livez, /readyz, /info, /metrics, and the pages /docs, /openapi.json and /.

Knows nothing of the tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from service.errors import NotReady, ServiceError
from service.gateway.catalogue import ServedModel
from service.gateway.openapi import DocumentedApp, error_answers
from service.gateway.operations.admin import RELOAD, add_admin_routes
from service.gateway.operations.answers import Alive, Info, Ready
from service.gateway.operations.page import HEADERS, page
from service.gateway.protocol import HttpProtocol
from service.gateway.routing import get
from service.gateway.traffic import Traffic
from service.messages import ModelInfo
from service.observability.exposition import merge
from service.observability.metrics import GatewayMetrics

SCRAPE_TIMEOUT_S = 3.0  # Prometheus gives up after 10 by default, and a dead worker must not cost it the rest
LIMITS = {"max_body_bytes", "max_inputs", "max_characters", "request_timeout_s", "batch_size", "max_in_flight"}

T = TypeVar("T")

log = logging.getLogger("triptych.operations")


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    assert isinstance(app, DocumentedApp)
    add_admin_routes(app, traffic)
    catalogue, metrics = traffic.catalogue, traffic.metrics

    @get(app, "/livez", **_documentation("The process answers", Alive))
    async def livez() -> Response:
        return JSONResponse({"status": "alive"})

    @get(
        app,
        "/health",
        **_documentation("The same as /readyz, under the name that others have for it", Ready, may_fail=True),
    )
    @get(app, "/readyz", **_documentation("Each model has lately given a sign of life", Ready, may_fail=True))
    async def readyz() -> Response:
        traffic.admission.check_open()
        errors = await asyncio.gather(*(_or_error(model.readiness.check) for model in catalogue.models))
        waiting = {model.name: error for model, error in zip(catalogue.models, errors, strict=True) if error}
        if waiting:
            raise NotReady(
                f"not ready: {', '.join(waiting)}",
                models={name: error.message for name, error in waiting.items()},
                retry_after_s=max(error.retry_after_s for error in waiting.values()),
            )
        return JSONResponse({"status": "ready", "models": [model.name for model in catalogue.models]})

    @get(app, "/info", **_documentation("Models, versions, scores, languages, labels and limits", Info))
    async def info() -> Response:
        infos = await asyncio.gather(*(_or_error(model.info) for model in catalogue.models))
        models = [
            asdict(told)
            if isinstance(told, ModelInfo)
            else {"name": model.name, "task": model.task, "error": told.message}
            for model, told in zip(catalogue.models, infos, strict=True)
        ]
        limits = traffic.settings.model_dump(include=LIMITS) | {"max_file_bytes": traffic.settings.files.max_bytes}
        service = {"name": app.title, "version": app.version}
        return JSONResponse({"service": service, "models": models, "limits": limits})

    @get(app, "/metrics", **_documentation("The whole application's metrics, in Prometheus' text format"))
    async def prometheus() -> Response:
        scraped = await asyncio.gather(*(_scrape(model, metrics) for model in catalogue.models))
        workers = [replica for replicas in scraped for replica in replicas]
        text = merge([(metrics.replica, metrics.render()), *workers])
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def document(request: Request) -> dict[str, Any]:
        infos = await asyncio.gather(*(_or_error(model.info) for model in catalogue.models))
        told = [info for info in infos if isinstance(info, ModelInfo)]
        tasks = [model.task for model in catalogue.models]
        return app.document(told, tasks, request.scope.get("root_path", ""))

    @get(app, "/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return JSONResponse(await document(request))

    @get(app, "/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return HTMLResponse(page(await document(request)), headers=HEADERS)

    leads = {"status_code": 307, "response_class": RedirectResponse}

    @get(app, "/", summary="Leads to the documentation", tags=["operations"], **leads)
    async def root(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


def _documentation(summary: str, answer: type[BaseModel] | None = None, *, may_fail: bool = False) -> dict[str, Any]:
    """Keyword arguments of the route decorator. `answer`: None is plain text."""
    responses = error_answers(503) if may_fail else {}
    described = {"summary": summary, "tags": ["operations"]}
    if answer is None:
        return {**described, "responses": responses, "response_class": PlainTextResponse}
    return {**described, "responses": {200: {"model": answer}, **responses}}


async def _or_error(ask: Callable[[], Awaitable[T]]) -> T | ServiceError:
    """The answer, or why there is none."""
    try:
        return await ask()
    except ServiceError as error:
        return error


async def _scrape(model: ServedModel, metrics: GatewayMetrics) -> list[tuple[str, bytes]]:
    if model.readiness.refusal() is not None:  # which the log has said
        metrics.scrape_failed(model.name)
        return []
    try:
        async with asyncio.timeout(SCRAPE_TIMEOUT_S):
            return await model.worker.metrics()
    except Exception as error:
        log.warning("no metrics from the workers", extra={"model": model.name, "reason": repr(error)})
        metrics.scrape_failed(model.name)
        return []


OPERATIONS = HttpProtocol(
    add_routes=_add_routes,
    needs_key=False,
    internal=("/metrics", RELOAD),
    probes=("/livez", "/readyz", "/health", "/metrics"),
)
