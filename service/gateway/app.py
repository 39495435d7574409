"""Puts the gateway together: settings and workers in, ASGI application out. Knows nothing of what hosts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.config import Settings
from service.errors import Cancelled, MethodNotAllowed, NotFound, ServiceError
from service.gateway.admission import Admission
from service.gateway.answering import Answering
from service.gateway.catalog import Catalog
from service.gateway.context import RequestContext
from service.gateway.middleware import BodyLimitMiddleware, EarlyRefusalMiddleware, RequestMiddleware
from service.gateway.openapi import DocumentedApp
from service.gateway.responses import on_http_exception, on_service_error
from service.gateway.routes.admin import add_admin_routes
from service.gateway.routes.operations import add_operation_routes
from service.gateway.routes.tasks import Gateway, add_task_routes
from service.gateway.workers import Worker
from service.observability.metrics import GatewayMetrics


def create_app(settings: Settings, workers: Mapping[str, Worker], metrics: GatewayMetrics) -> FastAPI:
    """The gateway over `workers`, by the model names of the settings. Needs no running event loop."""
    catalog = Catalog(settings, workers, metrics)
    admission = Admission(settings.gateway.max_in_flight, {model.name: model.capacity for model in catalog.models})
    answering = Answering(admission, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Who comes first should not be refused for that: a model that lives says so in milliseconds.
        await asyncio.gather(*(model.readiness.begin() for model in catalog.models))
        watching = asyncio.create_task(catalog.watch())
        yield
        watching.cancel()
        await catalog.close()

    async def on_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ServiceError)
        if not isinstance(error, Cancelled):  # nobody is told
            metrics.failed(RequestContext.of(request.scope).route, error.code)
        return await on_service_error(request, error)

    async def on_routing_error(request: Request, error: Exception) -> JSONResponse:
        answer = await on_http_exception(request, error)
        code = MethodNotAllowed.code if answer.status_code == MethodNotAllowed.status else NotFound.code
        metrics.failed(RequestContext.of(request.scope).route, code)
        return answer

    app = DocumentedApp(
        title="Triptych",
        version=_version(),
        description="Translate, generate and classify, in the Hugging Face Inference convention.",
        openapi_url=None,  # /docs and /openapi.json are ours: FastAPI's know no examples, and load scripts from a CDN
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers={ServiceError: on_error, HTTPException: on_routing_error},
    )
    add_task_routes(app, Gateway(settings=settings.gateway, catalog=catalog, answering=answering))
    add_operation_routes(app, settings.gateway, catalog, metrics, admission)
    add_admin_routes(app, settings.gateway.admin_token, catalog)
    app.state.admission = admission  # for the host, which drains it before it stops
    tasks = {f"/{model.task}": catalog.of_task(model.task) for model in catalog.models}

    def refusal(route: str) -> ServiceError | None:
        return answering.refusal(tasks[route]) if route in tasks else None

    routes = frozenset(path for route in app.routes if (path := getattr(route, "path", None)))
    limits = settings.gateway
    app.add_middleware(BodyLimitMiddleware, max_bytes=limits.max_body_bytes, timeout_s=limits.request_timeout_s)
    app.add_middleware(EarlyRefusalMiddleware, refusal=refusal, metrics=metrics)
    # The last one added is the outermost.
    app.add_middleware(RequestMiddleware, routes=routes, metrics=metrics, stopping=lambda: not admission.is_open)
    return app


def _version() -> str:
    try:
        return version("triptych")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"
