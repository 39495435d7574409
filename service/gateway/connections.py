"""What a client may do with a connection before and after a request: uvicorn's protocol with the limits it lacks.

A request's head has to come within some seconds and some kilobytes, a connection between requests is kept only while
there is room for others, and one whose client takes no more data is given up. Knows nothing of what requests are.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10.0  # for a request line and headers, from the connection's or their own first byte
HEAD_BYTES = 65536
KEEP_ALIVE_S = 60  # without a request
CLOSE_S = 1  # for connections that are being answered when the server ends
STALLED_S = 30.0  # in which a client that has left without a word, or reads nothing, takes no byte
OTHER_FILES = 256  # open files that are no client's connection
ACCEPTED_AT_ONCE = 64  # connections in one turn of the event loop, of each socket
RETRY_S = 0.5  # before somebody is accepted again, where the system did not let us

log = logging.getLogger("triptych.http")


def connection_limit(wanted: int) -> int:
    """As many connections as wanted and as the process may have open; it takes all the system lets it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = most if most != resource.RLIM_INFINITY else wanted + OTHER_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(allowed, max(wanted + OTHER_FILES, 1024)), most))
    return max(min(wanted, allowed - OTHER_FILES), 1)


@dataclass(eq=False)
class Connections:
    """All connections of a gateway; those without a whole request in the order in which they became so."""

    limit: int
    open: int = 0
    idle: dict[Guarded, None] = field(default_factory=dict)

    def protocol(self) -> Callable[..., Guarded]:
        """What uvicorn makes a connection's protocol with."""
        return partial(Guarded, self)

    def make_room(self) -> None:
        """Give up the connection that has been without a whole request for longest.

        One whose request is being answered is never given up. Where all the others are, a new one may come in beyond
        the limit: its request is refused in words if there is no room for it.
        """
        if self.open > self.limit and (len(self.idle) > 1 or self.open > self.limit + OTHER_FILES // 2):
            for oldest in self.idle:
                oldest.give_up()
                return


class Listening:
    """Accepts whoever waits, in each turn of the event loop.

    The server of uvloop accepts one connection a turn: beside some hundred busy ones, new ones would wait for seconds.
    """

    def __init__(self, sockets: Sequence[socket.socket], make: Callable[[], asyncio.Protocol]) -> None:
        """`make` makes the protocol of each connection. To be used in the event loop that runs."""
        self._sockets, self._make = sockets, make
        self._loop = asyncio.get_running_loop()
        self._joining: set[asyncio.Task[Any]] = set()
        for each in sockets:
            each.setblocking(False)
            self._loop.add_reader(each, self._accept, each)

    def stop(self) -> None:
        """Take what has come before the sockets are closed: the system would reset these connections."""
        for each in self._sockets:
            self._loop.remove_reader(each)
            self._accept(each)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no more files may be open, for instance: a moment later there may be
                log.error("a connection cannot be accepted: %s", error)
                self._loop.remove_reader(listener)
                self._loop.call_later(RETRY_S, self._go_on, listener)
                return
            joining = self._loop.create_task(self._join(accepted))
            self._joining.add(joining)
            joining.add_done_callback(self._joining.discard)

    async def _join(self, accepted: socket.socket) -> None:
        with suppress(OSError):  # the client has gone again
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._make, accepted)

    def _go_on(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:  # it was not stopped meanwhile
            self._loop.add_reader(listener, self._accept, listener)


class Guarded(HttpToolsProtocol):
    def __init__(self, connections: Connections, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._connections = connections
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if (own := transport.get_extra_info("socket")) is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALLED_S * 1000))
        self._connections.open += 1
        self._connections.idle[self] = None
        self._await_head()
        self._connections.make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.open -= 1
        self._connections.idle.pop(self, None)
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self in self._connections.idle and not self._in_body:
            self._await_head()
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self._has_head(data):
                self.give_up()
                return
        super().data_received(data)

    def _has_head(self, data: bytes) -> bool:
        """A first chunk may be large because of its body."""
        return self._head_bytes == len(data) and b"\r\n\r\n" in data[:HEAD_BYTES]

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._connections.idle.pop(self, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle is None or self.cycle.response_complete:  # no further request was waiting in the pipeline
            self._connections.idle[self] = None
            self._connections.make_room()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(HEAD_S, self.give_up)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def give_up(self) -> None:
        self._connections.idle.pop(self, None)
        self._stop_head_timer()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()


class Server(uvicorn.Server):
    """Of an application that knows neither connections nor sockets. To be run with `serve(sockets)`."""

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connections.protocol(),  # type: ignore[arg-type]  # it is called like a protocol class
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=CLOSE_S,
            )
        )
        self._make = connections.protocol()
        self._listening: Listening | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])  # which would accept one connection at a time
        self._listening = Listening(sockets or [], self._connection)

    def stop_listening(self) -> None:
        """Who has just connected is still answered."""
        if self._listening is not None:
            self._listening.stop()
            self._listening = None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.stop_listening()
        await super().shutdown(sockets=sockets)

    def _connection(self) -> asyncio.Protocol:
        return self._make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
