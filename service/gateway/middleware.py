"""Around every request, in pure ASGI: id and timing headers, metrics, access log, early refusal, last resort.

Knows nothing of routes' bodies and of models.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import NotFound, ServiceError
from service.gateway.context import ErrorShape, RequestContext
from service.gateway.errors import UNEXPECTED, error_response
from service.gateway.routing import OTHER, path_in, without_trailing_slash
from service.observability.metrics import GatewayMetrics

CLIENT_LEFT = 499  # counted and logged, never sent

log = logging.getLogger("triptych.http")


@dataclass(frozen=True)
class RequestMiddleware:
    """Gives each request its context; answers 500 where something escaped; counts and logs the end."""

    app: ASGIApp
    route_of: Callable[[str], str]  # asked with the path
    probes: Collection[str]  # routes that would drown the access log
    error_shape_of: Callable[[str], ErrorShape]  # asked with the path
    metrics: GatewayMetrics
    stopping: Callable[[], bool]  # no new requests are taken, and connections should go with their next answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope = without_trailing_slash(scope)
        path = path_in(scope)
        context = RequestContext.enter(scope, self.route_of(path), self.error_shape_of(path))
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(context.headers())
                if self.stopping():
                    headers["connection"] = "close"
            await send(message)

        self.metrics.request_started(context.route)
        try:
            await self.app(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # how Ray Serve tells that the client left
            context.client_left = True
            raise
        except Exception:
            log.exception("unexpected error", extra={"request_id": context.request_id})
            self.metrics.failed(context.route, ServiceError.code)
            if status is not None:
                raise  # too late for a status: the server cuts the connection, which the client notices
            await error_response(ServiceError(UNEXPECTED), context)(scope, receive, send_with_headers)
        finally:
            final = CLIENT_LEFT if context.client_left else status or 500
            self.metrics.request_ended(context.route, final, context.seconds())
            if context.key is not None:
                self.metrics.key_asked(context.key.name, final)
            self._log(scope, context, final)

    def _log(self, scope: Scope, context: RequestContext, status: int) -> None:
        log.log(
            logging.DEBUG if context.route in self.probes else logging.INFO,
            "%s %s %d",
            scope["method"],
            # the path is the client's own text: repr keeps line breaks out of the log
            context.route if context.route != OTHER else repr(scope["path"][:200]),
            status,
            extra={
                "request_id": context.request_id,
                "duration_ms": round(context.seconds() * 1000, 2),
                "key": context.key and context.key.name,
                "model": context.model,
                "texts": context.texts,
                "queue_ms": context.queue_ms and round(context.queue_ms, 2),
                "inference_ms": context.inference_ms and round(context.inference_ms, 2),
            },
        )


@dataclass(frozen=True)
class EarlyRefusalMiddleware:
    """Answers what is refused whatever its body says, before the body is read: a flood should cost little."""

    app: ASGIApp
    refusal: Callable[[str], ServiceError | None]  # asked with the route; None: its endpoint decides
    metrics: GatewayMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            context = RequestContext.of(scope)
            if error := self.refusal(context.route):
                self.metrics.failed(context.route, error.code)
                return await error_response(error, context)(scope, receive, send)
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class PortMiddleware:
    """Operations have a port of their own: what is internal is there alone, and what else is asked for is not there."""

    app: ASGIApp
    port: int
    internal: Collection[str]  # routes
    is_there: Callable[[str, str], bool]  # asked with route and method: whether this port has it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            context = RequestContext.of(scope)
            # The port that the connection came to, which no header can change.
            internal = (scope.get("server") or ("", None))[1] == self.port
            there = self.is_there(context.route, scope["method"])
            if (not there) if internal else (context.route in self.internal):
                which = "another port than this one" if internal else "a port of its own"
                error = NotFound(f"{context.route} is on {which}")
                return await error_response(error, context)(scope, receive, send)
        await self.app(scope, receive, send)
