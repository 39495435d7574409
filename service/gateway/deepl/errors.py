"""Errors as DeepL's clients read them: whatever is wrong with a call is 400, and a wrong key 403."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import BaseModel

from service.errors import ServiceError
from service.gateway.errors import coarse_status


class DeeplError(BaseModel):
    message: str
    detail: str


status_of = partial(coarse_status, unauthorized=403)


def error_shape(error: ServiceError, request_id: str) -> tuple[int, dict[str, Any]]:
    return status_of(type(error)), {"message": error.message, "detail": f"{error.code}, request {request_id}"}
