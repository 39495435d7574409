"""What is known of one HTTP request while it is being answered: made by the middleware, filled in on the way.

Knows nothing of bodies and models.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from service.errors import InvalidRequest, ServiceError
from service.gateway.keys import Key
from service.messages import Event, Result, Token

_SANE_ID = re.compile(r"[ -~]{1,128}")
_SCOPE_KEY = "triptych.context"

HEADERS = ("x-request-id", "x-model-version", "x-queue-time-ms", "x-inference-time-ms")  # of every answer, where known

ErrorShape = Callable[[ServiceError, str], tuple[int, dict[str, Any]]]  # an error and the request's id: status, body


@dataclass(slots=True)
class RequestContext:
    """Becomes the response's headers and the access log's fields."""

    request_id: str
    route: str
    error_shape: ErrorShape  # of the protocol that is spoken
    started: float = field(default_factory=time.perf_counter)
    client_left: bool = False
    texts: int | None = None
    model: str | None = None
    model_version: str | None = None
    queue_ms: float | None = None
    inference_ms: float | None = None
    key: Key | None = None  # whose request it is, where keys are asked for
    tokens: dict[str, int] = field(default_factory=dict)  # read and written so far, by the worker's request

    @classmethod
    def enter(cls, scope: Scope, route: str, error_shape: ErrorShape) -> RequestContext:
        """Make the context of a request and leave it in its scope."""
        given = Headers(scope=scope).get("x-request-id", "")
        context = cls(given if _SANE_ID.fullmatch(given) else f"{random.getrandbits(128):032x}", route, error_shape)
        scope[_SCOPE_KEY] = context
        return context

    @staticmethod
    def of(scope: Scope) -> RequestContext:
        context = scope[_SCOPE_KEY]
        assert isinstance(context, RequestContext)
        return context

    def seconds(self) -> float:
        """Since the request arrived."""
        return time.perf_counter() - self.started

    def left_s(self, timeout_s: float) -> float:
        """Of the time that the client gives us, which began when the request arrived."""
        return timeout_s - self.seconds()

    def used(self, events: Iterable[Event]) -> None:
        """Count the tokens of what came from a worker."""
        for event in events:
            if isinstance(event, Result):
                self.tokens[event.request_id] = event.tokens
            elif isinstance(event, Token):
                self.tokens[event.request_id] = event.index + 1

    def note(self, answers: Iterable[Result]) -> None:
        """Take over version and timing; of several answers the slowest counts."""
        for answer in answers:
            self.model_version = answer.model_version or self.model_version
            self.queue_ms = max(self.queue_ms or 0.0, answer.timing.queue_ms)
            self.inference_ms = max(self.inference_ms or 0.0, answer.timing.inference_ms)

    def headers(self) -> dict[str, str]:
        known = (
            self.request_id,
            self.model_version,
            None if self.queue_ms is None else f"{self.queue_ms:.2f}",
            None if self.inference_ms is None else f"{self.inference_ms:.2f}",
        )
        return {name: value for name, value in zip(HEADERS, known, strict=True) if value is not None}


def timeout_s(headers: Headers, limit_s: float) -> float:
    """Seconds the client gives us (`x-request-timeout-ms`), at most `limit_s`, which is also the default."""
    given = headers.get("x-request-timeout-ms")
    if given is None:
        return limit_s
    # isdecimal alone takes other scripts' digits; the length bounds what int() has to read
    if not (given.isascii() and given.isdecimal() and len(given) <= 12 and int(given) > 0):
        raise InvalidRequest(f"x-request-timeout-ms is {given[:40]!r}, expected a whole number of milliseconds above 0")
    return min(int(given) / 1000, limit_s)
