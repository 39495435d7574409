"""Who is asking: the key that a request brings, what it may, and what it has used.

In pure ASGI, before the body is read. Knows nothing of what is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Forbidden, QuotaExceeded, ServiceError, Unauthorized
from service.gateway.context import RequestContext
from service.gateway.errors import error_response
from service.gateway.keys import Key, Keys
from service.gateway.quotas import Quotas
from service.gateway.routing import path_in
from service.observability.metrics import GatewayMetrics

KeyOf = Callable[[Scope], str | None]  # what a request brings for a key; None where it brings none


def key_in_headers(scope: Scope, also: str = "Bearer", header: str = "x-api-key") -> str | None:
    """As most clients send it: `Authorization: Bearer KEY`, or `x-api-key: KEY`.

    `also`: what else Bearer may be; `header`: what x-api-key may be called besides.
    """
    headers = Headers(scope=scope)
    kind, _, given = headers.get("authorization", "").strip().partition(" ")
    if kind.lower() in ("bearer", also.lower()) and given.strip():
        return given.strip()
    return headers.get(header) or headers.get("x-api-key")


def key_in_query(scope: Scope, parameter: str) -> str | None:
    """For clients that have it in their addresses."""
    return QueryParams(scope["query_string"]).get(parameter)


class Access:
    """Without `keys` everybody may ask, and nothing is counted."""

    def __init__(self, keys: Keys | None, quotas: Quotas, metrics: GatewayMetrics) -> None:
        self._keys, self._quotas, self._metrics = keys, quotas, metrics

    @property
    def needs_key(self) -> bool:
        return self._keys is not None

    async def enter(self, context: RequestContext, given: str | None) -> None:
        """Note whose request it is, and count it. Raises Unauthorized or QuotaExceeded."""
        if self._keys is None:
            return
        if given is None:
            raise Unauthorized("this needs a key: the header authorization: Bearer KEY, or x-api-key: KEY")
        key = self._keys.find(given)
        if key is None:
            raise Unauthorized("the key is none of those that may ask here")
        context.key = key
        try:
            await self._quotas.enter(key)
        except QuotaExceeded as error:
            self._metrics.key_refused(key.name, error.details["quota"])
            raise

    def of_name(self, name: str | None) -> Key | None:
        """The key of somebody who asked before, as long as there is one."""
        return None if self._keys is None or name is None else self._keys.named(name)

    async def ended(self, context: RequestContext) -> None:
        """Count what a call has used."""
        if context.key is not None and (tokens := sum(context.tokens.values())):
            context.tokens.clear()
            self._metrics.key_tokens(context.key.name, tokens)
            await self._quotas.spend(context.key, tokens)


def priority_for(key: Key | None, given: int | None) -> int:
    """Raises Forbidden where the key may not be so urgent."""
    usual = 0 if key is None else max(key.most_urgent, 0)
    priority = usual if given is None else given
    if key is not None and priority < key.most_urgent:
        raise Forbidden(
            f"priority is {priority}, the most urgent for the key {key.name!r} is {key.most_urgent}",
            parameter="priority",
            limit=key.most_urgent,
        )
    return priority


@dataclass(frozen=True)
class AccessMiddleware:
    """Lets through whoever has a key, and everybody where none is needed."""

    app: ASGIApp
    access: Access
    is_open: Callable[[str, str], bool]  # asked with route and method: whether it needs no key
    key_of: Callable[[Scope], str | None]
    key_in_body: Callable[[str], bool]  # asked with the path: whether the endpoint itself looks there
    metrics: GatewayMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.access.needs_key:
            context = RequestContext.of(scope)
            if error := await self._refusal(scope, context):
                self.metrics.failed(context.route, error.code)
                return await error_response(error, context)(scope, receive, send)
        await self.app(scope, receive, send)

    async def _refusal(self, scope: Scope, context: RequestContext) -> ServiceError | None:
        if scope["method"] == "OPTIONS" or self.is_open(context.route, scope["method"]):
            return None
        given = self.key_of(scope)
        if given is None and self.key_in_body(path_in(scope)):
            return None
        try:
            await self.access.enter(context, given)
        except ServiceError as error:
            return error
        return None
