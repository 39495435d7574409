"""What may come as a body: so many bytes, within so many seconds, plain or packed by gzip.

In pure ASGI. Knows nothing of what bodies say.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BadRequest, BodyTooLarge, RequestTimeout, UnsupportedMediaType
from service.gateway.context import RequestContext

GZIP = 16 + zlib.MAX_WBITS  # a header of gzip's, with the largest window


@dataclass(frozen=True)
class BodyMiddleware:
    """Stops reading a body at `max_bytes`, or at its route's own limit, announced or not, and after `timeout_s`.

    A packed body is unpacked on the way, and has the same limit before and after. Whoever reads it gets `BodyTooLarge`,
    `RequestTimeout`, `UnsupportedMediaType` or `BadRequest`.
    """

    app: ASGIApp
    max_bytes: int
    max_bytes_of: Mapping[str, int]  # by the route
    timeout_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "")
        limit = self.max_bytes_of.get(RequestContext.of(scope).route, self.max_bytes)
        until = asyncio.get_running_loop().time() + self.timeout_s
        packing = headers.get("content-encoding", "identity").strip().lower()
        unpack = _Gzip(limit) if packing in ("gzip", "x-gzip") else None
        read, complete = 0, False

        async def receive_within_limit() -> Message:
            nonlocal read, complete
            if complete:  # what comes now is that the client leaves
                return await receive()
            if unpack is None and packing not in ("identity", ""):
                raise UnsupportedMediaType(f"content-encoding is {packing[:40]!r}, expected gzip or none")
            if announced.isdecimal() and int(announced) > limit:
                raise _too_large(f"{announced} bytes", limit)
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow(read, announced) from None
            if message["type"] != "http.request":
                return message
            read += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if read > limit:
                raise _too_large(f"at least {read} bytes", limit)
            if unpack is not None:
                message = {**message, "body": unpack(message.get("body", b""), complete)}
            return message

        await self.app(scope, receive_within_limit, send)

    def _too_slow(self, read: int, announced: str) -> RequestTimeout:
        of = f" of {announced}" if announced.isdecimal() else ""
        return RequestTimeout(
            f"{read} bytes{of} of the body came within {self.timeout_s:g} s", request_timeout_s=self.timeout_s
        )


class _Gzip:
    """Unpacks one body, of which a few bytes may say a great many."""

    def __init__(self, limit: int) -> None:
        self._limit, self._written = limit, 0
        self._stream = zlib.decompressobj(GZIP)

    def __call__(self, data: bytes, last: bool) -> bytes:
        try:
            written = self._stream.decompress(data, self._limit - self._written + 1)
        except zlib.error as error:
            raise BadRequest(f"the body is not gzip, as its content-encoding says: {error}") from None
        self._written += len(written)
        if self._written > self._limit:
            raise _too_large(f"at least {self._written} bytes when it is unpacked", self._limit)
        if last and not self._stream.eof:
            raise BadRequest(f"the body is gzip that ends too early, after {self._written} unpacked bytes")
        if self._stream.unused_data:
            raise BadRequest(f"the body has {len(self._stream.unused_data)} bytes behind the end of its gzip stream")
        return written


def _too_large(size: str, limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body has {size}, the limit is {limit}", max_body_bytes=limit)
