"""Routes that take GET, what a path takes, and how metrics and the access log call its route: labels are bounded.

Knows nothing of what routes do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from inspect import signature
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, request_response
from starlette.types import Scope

from service.errors import NotSupported

OTHER = "other"  # whatever is asked for that is not there

ANYWHERE = "OPTIONS"  # the method that every path takes

Endpoint = Callable[..., Awaitable[Response]]


class PlainRoute(APIRoute):
    """One that FastAPI documents and Starlette calls: endpoints read their requests and write their responses
    themselves, and what FastAPI does around them would be a quarter of a cheap request's time."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        super().__init__(path, endpoint, **settings)
        if [*signature(endpoint).parameters] == ["request"]:
            self.app = request_response(endpoint)


def route_names(routes: Iterable[BaseRoute]) -> Callable[[str], str]:
    """The path itself, the template of a path with parameters, or `OTHER`."""
    named = [route for route in routes if isinstance(route, Route)]
    plain = {route.path for route in named if not route.param_convertors}
    templates = {route.path: route.path_regex for route in named if route.param_convertors}

    def name(path: str) -> str:
        if path in plain:
            return path
        return next((template for template, regex in templates.items() if regex.match(path)), OTHER)

    return name


def path_in(scope: Scope) -> str:
    """The path below the place where a proxy in front has put the service."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def without_trailing_slash(scope: Scope) -> Scope:
    """Clients that put their paths together often leave one: it means the same, and a redirect would cost a round."""
    path = scope["path"]
    if not path.endswith("/") or path_in(scope) in ("", "/"):
        return scope
    return {**scope, "path": path.rstrip("/") or "/"}


def answer_options(app: FastAPI) -> None:
    """Have every path that there is say which methods it takes."""

    async def options(request: Request) -> Response:
        return Response(status_code=204, headers={"allow": ", ".join(methods_at(request))})

    for path in {route.path for route in app.routes if isinstance(route, Route)}:
        app.add_api_route(path, options, methods=[ANYWHERE], include_in_schema=False)


def methods_at(request: Request) -> list[str]:
    """What the path takes. The router itself tells those of one of its routes."""
    there = [route for route in request.app.routes if isinstance(route, Route)]
    methods = [route.methods or () for route in there if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for those in methods for method in those})


def get(app: FastAPI, path: str, **documentation: Any) -> Callable[[Endpoint], Endpoint]:
    """A route that takes GET and HEAD, whose answer the server sends without its body."""

    def add(endpoint: Endpoint) -> Endpoint:
        app.add_api_route(path, endpoint, methods=["GET"], **documentation)
        app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
        return endpoint

    return add


def refuse(app: FastAPI, method: str, path: str, why: str, status: int, **documentation: Any) -> None:
    """A route that a protocol has and we do not do: it says so, with `status`, as /docs does."""

    async def refused(request: Request) -> Response:
        raise NotSupported(why)

    summary = f"Not supported: {why}"
    app.add_api_route(
        path, refused, methods=[method], summary=summary, status_code=status, response_class=Response, **documentation
    )
