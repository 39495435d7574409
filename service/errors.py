"""Every error a client can see, as one tree: each class has its code and its HTTP status.

A message quotes the value and the limit. Errors cross the Ray boundary as `messages.Failure`, never as exceptions.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self


class ServiceError(Exception):
    """Base of the tree. `details` are extra fields of the error object, each JSON-serializable.

    `retry_after_s` among them is sent as Retry-After: whole seconds from 1 to `max_retry_after_s`, whatever was given.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    max_retry_after_s: ClassVar[int] = 60

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if "retry_after_s" in details:
            details["retry_after_s"] = math.ceil(min(max(details["retry_after_s"], 1), self.max_retry_after_s))

    @property
    def retry_after_s(self) -> int:
        """When to come back, also where nobody said when."""
        return int(self.details.get("retry_after_s", 1))

    def unless_said_retry_after(self, seconds: float) -> Self:
        """The error as it is where it says when to come back, else with `seconds`."""
        return type(self)(self.message, **{"retry_after_s": seconds, **self.details})


class BadRequest(ServiceError):
    code, status = "bad_request", 400  # the body is not JSON, or not an object


class InvalidRequest(ServiceError):
    code, status = "invalid_request", 422  # a field has the wrong type or an impossible value


class EmptyInput(InvalidRequest):
    code = "empty_input"


class UnknownParameter(InvalidRequest):
    code = "unknown_parameter"


class InputTooLong(InvalidRequest):
    code = "input_too_long"  # more tokens than the model has room for


class NotSupported(InvalidRequest):
    code = "not_supported"  # a protocol has it, and we do not do it


class Unauthorized(ServiceError):
    code, status = "unauthorized", 401


class Forbidden(ServiceError):
    code, status = "forbidden", 403  # the key may not do that


class NotFound(ServiceError):
    code, status = "not_found", 404


class UnknownModel(NotFound):
    code = "unknown_model"


class UnknownLanguagePair(NotFound):
    code = "unknown_language_pair"


class MethodNotAllowed(ServiceError):
    code, status = "method_not_allowed", 405


class RequestTimeout(ServiceError):
    code, status = "request_timeout", 408  # the body did not come in time


class SlowReader(ServiceError):
    code, status = "slow_reader", 408  # ends a stream whose client does not keep up


class ReloadFailed(ServiceError):
    code, status = "reload_failed", 409  # the old weights go on serving


class NotFinished(ServiceError):
    code, status = "not_finished", 409  # the job has no result, not yet or at all


class BodyTooLarge(ServiceError):
    code, status = "body_too_large", 413


class UnsupportedMediaType(ServiceError):
    code, status = "unsupported_media_type", 415  # a body of another kind, or packed in a way that we cannot open


class Overloaded(ServiceError):
    code, status = "overloaded", 503  # our saturation, with Retry-After


class NotReady(ServiceError):
    code, status = "not_ready", 503


class QuotaExceeded(ServiceError):
    code, status = "quota_exceeded", 429  # the key's own, with Retry-After
    max_retry_after_s = 366 * 86400


class DeadlineExceeded(ServiceError):
    code, status = "deadline_exceeded", 504


class Cancelled(ServiceError):
    code, status = "cancelled", 499  # the client left; counted, never sent


def _tree(root: type[ServiceError]) -> list[type[ServiceError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


BY_CODE: dict[str, type[ServiceError]] = {error.code: error for error in _tree(ServiceError)}
