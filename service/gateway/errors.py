"""Errors as responses. The shape is the protocol's of the request; the one here is that of all that have none.

Knows nothing of where errors come from.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    Unauthorized,
    UnknownLanguagePair,
    UnknownModel,
)
from service.gateway.context import RequestContext
from service.gateway.routing import methods_at

UNEXPECTED = "an unexpected error on our side; the log has it under this request_id"


class ErrorDetails(BaseModel):
    """What more is said, where it is known, so that nobody has to read it out of the message."""

    code: str
    message: str
    request_id: str
    index: int | None = Field(default=None, description="of the input that it is about")
    parameter: str | None = Field(default=None, description="that it is about, as it was sent")
    value: float | None = Field(default=None, description="what was measured against the limit")
    limit: float | None = None
    available: list[str] | None = Field(default=None, description="what there is instead")
    known: list[str] | None = Field(default=None, description="the fields that there are")
    possible: list[str] | None = Field(default=None, description="the language pairs that are left")
    language_pair: str | None = Field(default=None, description="that there is not")
    models: dict[str, str] | None = Field(default=None, description="that are not ready, and why")
    retry_after_s: int | None = Field(default=None, description="when to come back, as in the header retry-after")
    timeout_ms: float | None = Field(default=None, description="the deadline that has passed")
    request_timeout_s: float | None = Field(default=None, description="the time in which the body should have come")
    max_body_bytes: int | None = Field(default=None, description="the limit of the body")
    quota: str | None = Field(default=None, description="of the key, that is used up: requests or tokens")


class ErrorAnswer(BaseModel):
    error: ErrorDetails


def error_object(error: ServiceError, request_id: str) -> dict[str, Any]:
    return {"error": {**error.details, "code": error.code, "message": error.message, "request_id": request_id}}


def error_answer(error: ServiceError, request_id: str) -> tuple[int, dict[str, Any]]:
    """The error's status and object: a `service.gateway.context.ErrorShape`."""
    return error.status, error_object(error, request_id)


def coarse_status(error: type[ServiceError], unauthorized: int = Unauthorized.status) -> int:
    """Its status for clients that know 400 for whatever is wrong with a call."""
    if issubclass(error, InvalidRequest | UnknownLanguagePair | UnknownModel):
        return 400
    return unauthorized if issubclass(error, Unauthorized) else error.status


def error_response(error: ServiceError, context: RequestContext, headers: dict[str, str] | None = None) -> JSONResponse:
    status, content = context.error_shape(error, context.request_id)
    response = JSONResponse(content, status_code=status, headers=headers)
    if error.status in (429, 503):
        response.headers["retry-after"] = str(error.retry_after_s)
    if error.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if error.status in (408, 413):
        response.headers["connection"] = "close"  # the rest of the body is not read
    return response


def service_error(request: Request, error: Exception) -> tuple[ServiceError, dict[str, str]]:
    """Our own error as it is, and what the router refuses, unknown paths and wrong methods, as one; with headers."""
    if isinstance(error, ServiceError):
        return error, {}
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    path, method = request.url.path[:200], request.method
    if error.status_code == 405:
        allowed = headers["Allow"] = ", ".join(methods_at(request))
        return MethodNotAllowed(f"{path} does not take {method}; it takes {allowed}"), headers
    if error.status_code == 404:
        return NotFound(f"there is nothing at {path}; /docs lists what there is"), headers
    raise error
