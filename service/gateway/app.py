"""Puts the gateway together: settings and workers in, ASGI application out. Knows nothing of what hosts it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from service.config import Settings
from service.errors import ServiceError
from service.gateway.admission import Admission
from service.gateway.answering import Answering
from service.gateway.catalog import Catalog
from service.gateway.middleware import BodyLimitMiddleware, RequestMiddleware
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
    admission = Admission(settings.gateway.max_in_flight)
    answering = Answering(admission, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await catalog.close()

    app = DocumentedApp(
        title="Triptych",
        version=_version(),
        description="Translate, generate and classify, in the Hugging Face Inference convention.",
        openapi_url=None,  # /docs and /openapi.json are ours: FastAPI's know no examples, and load scripts from a CDN
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers={ServiceError: on_service_error, HTTPException: on_http_exception},
    )
    add_task_routes(app, Gateway(settings=settings.gateway, catalog=catalog, answering=answering))
    add_operation_routes(app, settings.gateway, catalog, metrics, admission)
    add_admin_routes(app, settings.gateway.admin_token, catalog)
    app.state.admission = admission  # for the host, which drains it before it stops
    routes = frozenset(path for route in app.routes if (path := getattr(route, "path", None)))
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.gateway.max_body_bytes)
    app.add_middleware(RequestMiddleware, routes=routes, metrics=metrics)  # the last one added is the outermost
    return app


def _version() -> str:
    try:
        return version("triptych")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"
