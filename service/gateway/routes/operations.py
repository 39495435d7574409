"""For those who run the service: /livez, /readyz, /info, /metrics, and the pages /docs and /.

Knows nothing of the tasks.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from service.config import GatewaySettings
from service.errors import NotReady, ServiceError
from service.gateway.admission import Admission
from service.gateway.catalog import Catalog, ServedModel
from service.gateway.docs import HEADERS, page
from service.gateway.openapi import operation_documentation
from service.observability.exposition import merge
from service.observability.metrics import GatewayMetrics

SCRAPE_TIMEOUT_S = 3.0  # Prometheus gives up after 10 by default, and a dead worker must not cost it the rest

log = logging.getLogger("triptych.operations")


def add_operation_routes(
    app: FastAPI, settings: GatewaySettings, catalog: Catalog, metrics: GatewayMetrics, admission: Admission
) -> None:
    @app.get("/livez", **operation_documentation("The process answers"))
    async def livez() -> Response:
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", **operation_documentation("Each model has answered a canary prompt", may_fail=True))
    async def readyz() -> Response:
        admission.check_open()
        reasons = await asyncio.gather(*(_why_not_ready(model) for model in catalog.models))
        waiting = {model.name: reason for model, reason in zip(catalog.models, reasons, strict=True) if reason}
        if waiting:
            raise NotReady(f"not ready: {', '.join(waiting)}", models=waiting)
        return JSONResponse({"status": "ready", "models": [model.name for model in catalog.models]})

    @app.get("/info", **operation_documentation("Models, versions, scores, languages, labels and limits"))
    async def info() -> Response:
        models = await asyncio.gather(*(_described(model) for model in catalog.models))
        limits = settings.model_dump(
            include={"max_body_bytes", "max_inputs", "request_timeout_s", "batch_size", "max_in_flight"}
        )
        service = {"name": app.title, "version": app.version}
        return JSONResponse({"service": service, "models": models, "limits": limits})

    @app.get("/metrics", **operation_documentation("The whole application's metrics, in Prometheus' text format"))
    async def prometheus() -> Response:
        scraped = await asyncio.gather(*(_scrape(model, metrics) for model in catalog.models))
        workers = [replica for replicas in scraped for replica in replicas]
        text = merge([(metrics.replica, metrics.render()), *workers])
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page(app.openapi()), headers=HEADERS)

    @app.get("/", include_in_schema=False)
    async def root(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


async def _why_not_ready(model: ServedModel) -> str | None:
    try:
        await model.ready()
    except ServiceError as error:
        return error.message
    return None


async def _described(model: ServedModel) -> dict[str, Any]:
    try:
        return asdict(await model.info())
    except ServiceError as error:
        return {"name": model.name, "task": model.task, "error": error.message}


async def _scrape(model: ServedModel, metrics: GatewayMetrics) -> list[tuple[str, bytes]]:
    try:
        async with asyncio.timeout(SCRAPE_TIMEOUT_S):
            return await model.worker.metrics()
    except Exception as error:
        log.warning("no metrics from the workers", extra={"model": model.name, "reason": repr(error)})
        metrics.scrape_failed(model.name)
        return []
