"""A call answered as server-sent events, in text-generation-inference's shapes.

Knows nothing of bodies; what an event contains is `rendering`'s.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import Cancelled, ServiceError
from service.gateway.answering import Answering, Call, failure_of
from service.gateway.batcher import Ticket
from service.gateway.rendering import last_event, token_event
from service.gateway.responses import UNEXPECTED, error_object
from service.messages import Completion, Event, Failure, Terminal, Token

# What Unicode calls a line break and JSON leaves as it is: clients split lines there (httpx, str.splitlines).
LINE_BREAKS = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
COMMENT = b":\n\n"  # which clients of server-sent events skip
COMMENT_EVERY_S = 5.0

log = logging.getLogger("triptych.http")


class EventStream(Response):
    """Starts when the worker has taken the request, so that what fails before is a plain HTTP error with its status.

    While nothing comes from the worker, a comment every `COMMENT_EVERY_S` shows that the connection is alive.
    """

    media_type = "text/event-stream"

    def __init__(self, answering: Answering, call: Call) -> None:
        # No super().__init__(): it would announce the length of a body that is not there yet.
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._answering = answering
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._answering.open(self._call, receive) as ticket:
            first = await anext(ticket)
            for event in first:
                if isinstance(event, Failure):
                    raise failure_of(event, self._call)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for frame in self._until_error(self._frames(first, ticket)):
                await send(_chunk(frame))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _until_error(self, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The frames; what goes wrong among them becomes the last one: the status is already sent."""
        try:
            async for frame in frames:
                yield frame
        except Cancelled:
            pass  # nobody listens
        except ServiceError as error:
            yield self._error(error)
        except Exception:
            log.exception("unexpected error in a stream", extra={"request_id": self._call.context.request_id})
            yield self._error(ServiceError(UNEXPECTED))

    async def _frames(self, first: list[Event], ticket: Ticket) -> AsyncIterator[bytes]:
        last: Token | None = None
        async for events in _with_silences(first, ticket):
            if not events:
                yield COMMENT
                continue
            for event, following in zip(events, [*events[1:], None], strict=True):
                if isinstance(event, Token):
                    if last is None:
                        self._answering.first_token(self._call)
                    last = event
                    if not isinstance(following, Completion):  # else it goes with it, as TGI has it
                        yield _frame(token_event(event))
                elif isinstance(event, Terminal):
                    yield _frame(self._end(event, last, alone=not isinstance(events[0], Token)))

    def _error(self, error: ServiceError) -> bytes:
        self._answering.failed(self._call, error)
        return _frame(error_object(error, self._call.context.request_id), event="error")

    def _end(self, event: Terminal, last: Token | None, *, alone: bool) -> dict[str, Any]:
        if isinstance(event, Failure):
            raise failure_of(event, self._call)
        assert isinstance(event, Completion)
        self._answering.note(self._call, [event])
        if last is None or alone:  # clients read the token of every event: give them one that adds nothing
            index, token_id = (0, 0) if last is None else (last.index + 1, last.id)
            last = Token(request_id=event.request_id, index=index, id=token_id, text="", logprob=0.0, special=True)
        return last_event(last, event)


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


def _frame(content: dict[str, Any], event: str | None = None) -> bytes:
    name = f"event:{event}\n" if event else ""
    data = json.dumps(content, allow_nan=False, ensure_ascii=False).translate(LINE_BREAKS)
    return f"{name}data:{data}\n\n".encode()


def _chunk(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}
