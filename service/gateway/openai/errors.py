"""What is wrong, as OpenAI's clients read it. Statuses are ours."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from service.errors import InputTooLong, QuotaExceeded, ServiceError, Unauthorized, UnknownModel

# Of the errors that clients look out for, by the names that they know.
_CODES: dict[type[ServiceError], str] = {
    UnknownModel: "model_not_found",
    InputTooLong: "context_length_exceeded",
    Unauthorized: "invalid_api_key",
    QuotaExceeded: "rate_limit_exceeded",
}


class OpenAIErrorDetails(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(BaseModel):
    error: OpenAIErrorDetails


def error_answer(error: ServiceError, request_id: str, inputs: str | None = None) -> tuple[int, dict[str, Any]]:
    """A `service.gateway.context.ErrorShape`. `inputs`: the field that has them, where it is known."""
    named = "model" if isinstance(error, UnknownModel) else inputs if "index" in error.details else None
    parameter = error.details.get("parameter", named)
    told = {
        "message": error.message,
        "type": "invalid_request_error" if error.status < 500 else "server_error",
        "param": parameter,
        "code": _CODES.get(type(error), error.code),
    }
    return error.status, {"error": told}
