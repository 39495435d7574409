"""Puts the gateway together: settings and workers in, ASGI application out. Knows nothing of what hosts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.config import Settings
from service.errors import Cancelled, ServiceError
from service.gateway.access import Access, AccessMiddleware
from service.gateway.admission import Admission
from service.gateway.answering import Answering
from service.gateway.azure.routes import AZURE
from service.gateway.bodies import BodyMiddleware
from service.gateway.catalogue import Catalogue
from service.gateway.context import HEADERS, RequestContext
from service.gateway.deepl.routes import DEEPL
from service.gateway.detection import Detection
from service.gateway.errors import error_response, service_error
from service.gateway.files.routes import FILES
from service.gateway.glossaries import read_glossaries
from service.gateway.google.routes import GOOGLE
from service.gateway.huggingface.routes import HUGGINGFACE
from service.gateway.huggingface.tei import TEI
from service.gateway.huggingface.tgi import TGI
from service.gateway.keys import Keys
from service.gateway.libretranslate.routes import LIBRETRANSLATE
from service.gateway.middleware import EarlyRefusalMiddleware, PortMiddleware, RequestMiddleware
from service.gateway.openai.routes import OPENAI
from service.gateway.openapi import DocumentedApp
from service.gateway.operations.routes import OPERATIONS
from service.gateway.protocol import protocol_at
from service.gateway.quotas import Quotas
from service.gateway.routing import OTHER, answer_options, path_in, route_names
from service.gateway.traffic import Traffic
from service.gateway.workers import Worker
from service.observability.metrics import GatewayMetrics
from service.version import version

PROTOCOLS = (HUGGINGFACE, OPENAI, TGI, TEI, FILES, LIBRETRANSLATE, DEEPL, GOOGLE, AZURE, OPERATIONS)


def create_app(settings: Settings, workers: Mapping[str, Worker], metrics: GatewayMetrics) -> FastAPI:
    """The gateway over `workers`, by the model names of the settings. Needs no running event loop.

    Raises ValueError or OSError for keys, glossaries or a storage of quotas that cannot be read.
    """
    limits = settings.gateway
    catalogue = Catalogue(settings, workers, metrics)
    admission = Admission(limits.max_in_flight, {model.name: model.capacity for model in catalogue.models})
    access = Access(Keys(limits.keys) if limits.keys else None, Quotas(limits.quota_storage), metrics)
    answering = Answering(admission, access, metrics)
    detection = Detection()
    traffic = Traffic(
        settings=settings.gateway,
        catalogue=catalogue,
        access=access,
        admission=admission,
        answering=answering,
        detection=detection,
        glossaries=read_glossaries(settings.gateway.glossaries),
        state=settings.state_folder,
        metrics=metrics,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Who comes first should not be refused for that: a model that lives says so in milliseconds.
        await asyncio.gather(*(model.readiness.begin() for model in catalogue.models))
        watching = asyncio.create_task(catalogue.watch())
        async with AsyncExitStack() as stack:
            for running in filter(None, beside):
                await stack.enter_async_context(running)
            yield
        watching.cancel()
        await catalogue.close()
        detection.close()

    async def on_error(request: Request, raised: Exception) -> JSONResponse:
        error, headers = service_error(request, raised)
        context = RequestContext.of(request.scope)
        if not isinstance(error, Cancelled):  # nobody is told
            metrics.failed(context.route, error.code)
        return error_response(error, context, headers)

    app = DocumentedApp(
        PROTOCOLS,
        title="Triptych",
        version=version(),
        openapi_url=None,  # /docs and /openapi.json are ours: FastAPI's know no examples, and load scripts from a CDN
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers={ServiceError: on_error, HTTPException: on_error},
    )
    beside, open_routes, guarded = [], {OTHER}, set[tuple[str, str]]()
    for protocol in PROTOCOLS:
        before = len(app.routes)
        beside.append(protocol.add_routes(app, traffic))
        added = [route for route in app.routes[before:] if isinstance(route, Route)]
        if protocol.needs_key:
            guarded.update((route.path, method) for route in added for method in route.methods or ())
        else:
            open_routes.update(route.path for route in added)
    answer_options(app)
    app.keyed = guarded if access.needs_key else ()
    app.state.admission = admission  # for the host, which drains it before it stops
    tasks = {route: task for protocol in PROTOCOLS for route, task in protocol.tasks.items()}

    def is_open(route: str, method: str) -> bool:
        return route in open_routes and (route, method) not in guarded  # the address itself is both

    def refusal(route: str) -> ServiceError | None:
        if route not in tasks:
            return None
        asked = tasks[route]
        served = [catalogue.of_task(task) for task in ([asked] if isinstance(asked, str) else asked)]
        return answering.refusal([model for models in served for model in models])

    app.add_middleware(
        BodyMiddleware,
        max_bytes=limits.max_body_bytes,
        max_bytes_of={route: most for protocol in PROTOCOLS for route, most in protocol.body_limits(limits).items()},
        timeout_s=limits.request_timeout_s,
    )
    app.add_middleware(EarlyRefusalMiddleware, refusal=refusal, metrics=metrics)
    if limits.operations_port is not None:
        app.add_middleware(
            PortMiddleware,
            port=limits.operations_port,
            internal={route for protocol in PROTOCOLS for route in protocol.internal},
            is_there=is_open,
        )
    app.add_middleware(
        AccessMiddleware,
        access=access,
        is_open=is_open,
        key_of=lambda scope: protocol_at(PROTOCOLS, path_in(scope)).key_of(scope),
        key_in_body=lambda path: protocol_at(PROTOCOLS, path).key_in_body,
        metrics=metrics,
    )
    if limits.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=limits.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[*HEADERS, "retry-after"],
        )
    app.add_middleware(  # the last one added is the outermost
        RequestMiddleware,
        route_of=route_names(app.routes),
        probes=frozenset(route for protocol in PROTOCOLS for route in protocol.probes),
        error_shape_of=lambda path: protocol_at(PROTOCOLS, path).error_shape,
        metrics=metrics,
        stopping=lambda: not admission.is_open,
    )
    return app
