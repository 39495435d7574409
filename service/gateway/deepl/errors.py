"""Errors as DeepL's clients read them: whatever is wrong with a call is 400, and a wrong key 403."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from service.errors import InvalidRequest, ServiceError, Unauthorized, UnknownLanguagePair, UnknownModel


class DeeplError(BaseModel):
    message: str
    detail: str


def status_of(error: type[ServiceError]) -> int:
    if issubclass(error, InvalidRequest | UnknownLanguagePair | UnknownModel):
        return 400
    return 403 if issubclass(error, Unauthorized) else error.status


def error_shape(error: ServiceError, request_id: str) -> tuple[int, dict[str, Any]]:
    return status_of(type(error)), {"message": error.message, "detail": f"{error.code}, request {request_id}"}
