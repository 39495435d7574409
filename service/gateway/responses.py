"""The one error shape: `{"error": {"code", "message", "request_id", ...}}`, as a response and as an object.

Knows nothing of where errors come from.
"""

from __future__ import annotations

import math
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.errors import MethodNotAllowed, NotFound, ServiceError
from service.gateway.context import RequestContext

UNEXPECTED = "an unexpected error on our side; the log has it under this request_id"


def error_object(error: ServiceError, request_id: str) -> dict[str, Any]:
    return {"error": {**error.details, "code": error.code, "message": error.message, "request_id": request_id}}


def error_response(error: ServiceError, request_id: str, headers: dict[str, str] | None = None) -> JSONResponse:
    response = JSONResponse(error_object(error, request_id), status_code=error.status, headers=headers)
    if error.status == 503:
        response.headers["retry-after"] = str(math.ceil(error.details.get("retry_after_s", 1)))
    if error.status in (408, 413):
        response.headers["connection"] = "close"  # the rest of the body is not read
    return response


async def on_service_error(request: Request, error: Exception) -> JSONResponse:
    """Exception handler of the application for our own errors."""
    assert isinstance(error, ServiceError)
    return error_response(error, RequestContext.of(request.scope).request_id)


async def on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """Exception handler of the application for what the router refuses: unknown paths and wrong methods."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    path, method = request.url.path[:200], request.method
    ours: ServiceError
    if error.status_code == 405:
        allowed = headers["Allow"] = headers["Allow"].replace("GET", "GET, HEAD")  # where one works, so does the other
        ours = MethodNotAllowed(f"{path} does not take {method}; it takes {allowed}")
    elif error.status_code == 404:
        ours = NotFound(f"there is nothing at {path}; /docs lists what there is")
    else:
        raise error
    return error_response(ours, RequestContext.of(request.scope).request_id, headers)
