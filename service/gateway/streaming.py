"""A call answered as server-sent events.

Knows nothing of bodies, and of what an event says: a protocol renders it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import Cancelled, ServiceError
from service.gateway.answering import Call, failure_of
from service.gateway.batcher import Ticket
from service.gateway.errors import UNEXPECTED
from service.gateway.traffic import Traffic
from service.messages import Event, Failure, Result, Token

# What Unicode calls a line break and JSON leaves as it is: clients split lines there (httpx, str.splitlines).
LINE_BREAKS = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
COMMENT = b":\n\n"  # which clients of server-sent events skip
COMMENT_EVERY_S = 5.0

log = logging.getLogger("triptych.http")


class Rendering(Protocol):
    """How a protocol says the events of one stream: each stream has its own, which may remember what it has said."""

    def events(self, events: Sequence[Event]) -> Iterator[bytes]:
        """The frames of what one step brought; a failure among it has none, and becomes the stream's error."""
        ...

    def error(self, error: ServiceError, request_id: str) -> bytes:
        """The frame that ends a stream in which something went wrong."""
        ...


class EventStream(Response):
    """Starts when the worker has taken the request, so that what fails before is a plain HTTP error with its status.

    While nothing comes from the worker, a comment every `COMMENT_EVERY_S` shows that the connection is alive. Who reads
    so slowly that more than `stream_buffer` events wait is told so, and its request is cancelled.
    """

    media_type = "text/event-stream"

    def __init__(self, traffic: Traffic, call: Call, rendering: Rendering) -> None:
        # No super().__init__(): it would announce the length of a body that is not there yet.
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._answering = traffic.answering
        self._most_waiting = traffic.settings.stream_buffer
        self._call = call
        self._rendering = rendering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._answering.open(self._call, receive, self._most_waiting) as ticket:
            first = await anext(ticket)
            self._raise_failure(first)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for part in self._until_error(self._frames(first, ticket)):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _until_error(self, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The frames; what goes wrong among them becomes the last one: the status is already sent."""
        try:
            async for part in frames:
                yield part
        except Cancelled:
            pass  # nobody listens
        except ServiceError as error:
            yield self._error(error)
        except Exception:
            log.exception("unexpected error in a stream", extra={"request_id": self._call.context.request_id})
            yield self._error(ServiceError(UNEXPECTED))

    async def _frames(self, first: list[Event], ticket: Ticket) -> AsyncIterator[bytes]:
        spoken = False
        async for events in _with_silences(first, ticket):
            self._call.context.used(events)
            if not events:
                yield COMMENT
            for event in events:
                if isinstance(event, Token) and not spoken:
                    spoken = True
                    self._answering.first_token(self._call)
                elif isinstance(event, Result):
                    self._answering.note(self._call, [event])
            for part in self._rendering.events(events):
                yield part
            self._raise_failure(events)

    def _raise_failure(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Failure):
                raise failure_of(event, self._call)

    def _error(self, error: ServiceError) -> bytes:
        self._answering.failed(self._call, error)
        return self._rendering.error(error, self._call.context.request_id)


async def _with_silences(first: list[Event], ticket: Ticket) -> AsyncIterator[list[Event]]:
    """The groups of events, and an empty one for every `COMMENT_EVERY_S` in which none came."""
    events = first
    while True:
        yield events
        try:
            async with asyncio.timeout(COMMENT_EVERY_S):
                events = await anext(ticket)
        except TimeoutError:
            events = []
        except StopAsyncIteration:
            return


def frame(content: Any, event: str | None = None, *, space: str = "") -> bytes:
    """One server-sent event with JSON for its data, after the `space` that simple clients of some protocols expect."""
    name = f"event:{event}\n" if event else ""
    data = json.dumps(content, allow_nan=False, ensure_ascii=False).translate(LINE_BREAKS)
    return f"{name}data:{space}{data}\n\n".encode()
