"""Routes that take GET, what a path takes, and how metrics and the access log call its route: labels are bounded.

Knows nothing of what routes do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

OTHER = "other"  # whatever is asked for that is not there

Endpoint = Callable[..., Awaitable[Response]]


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
