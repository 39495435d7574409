"""A real uvicorn with small limits, and raw sockets. The same on the whole service is in tests/faults."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.types import Receive, Scope, Send

from service.gateway import connections
from service.gateway.connections import Connections, Listening, Server, connection_limit
from tests.waiting import eventually

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Slow:
    """Answers once it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.let.set()
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                await send({"type": f"{(await receive())['type']}.complete"})
        await self.answer(send)

    async def answer(self, send: Send) -> None:
        self.running += 1
        await self.let.wait()
        self.running -= 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(app: Slow, limit: int) -> AsyncIterator[tuple[int, Connections]]:
    held = Connections(limit)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        server = Server(app, held)
        task = asyncio.create_task(server._serve([listener]))
        await eventually(lambda: server.started)
        try:
            async with asyncio.timeout(20):
                yield listener.getsockname()[1], held
        finally:
            app.let.set()
            server.should_exit = True
            await task


Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def opened(port: int, sent: bytes = b"") -> Opened:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    return reader, writer


async def answered(connection: Opened) -> bool:
    """Whether the next answer on it comes; False where the server has closed it."""
    with suppress(ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError):
        async with asyncio.timeout(5):
            head = await connection[0].readuntil(b"\r\n\r\n")
            return head.startswith(b"HTTP/1.1 200") and await connection[0].readexactly(2) == b"ok"
    return False


async def closed(connection: Opened) -> bool:
    with suppress(ConnectionResetError):
        async with asyncio.timeout(5):
            return await connection[0].read() == b""
    return True


async def test_beyond_the_limit_the_connection_that_idles_longest_makes_room() -> None:
    async with serving(Slow(), limit=2) as (port, held):
        first, second = await opened(port, REQUEST), await opened(port, REQUEST)
        assert await answered(first)
        assert await answered(second)
        third = await opened(port, REQUEST)
        assert await answered(third)
        assert await closed(first)
        second[1].write(REQUEST)
        assert await answered(second)
        assert held.open == 2


async def test_a_connection_that_is_being_served_never_makes_room() -> None:
    app = Slow()
    async with serving(app, limit=2) as (port, _):
        app.let.clear()
        busy = []
        for number in range(4):
            busy.append(await opened(port, REQUEST))
            await eventually(lambda number=number: app.running > number)
        app.let.set()
        assert [await answered(each) for each in busy] == [True] * 4


async def test_a_body_that_does_not_come_holds_no_place() -> None:
    async with serving(Slow(), limit=2) as (port, _):
        halves = [await opened(port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n") for _ in range(2)]
        await asyncio.sleep(0.05)
        assert await answered(await opened(port, REQUEST))
        assert await answered(halves[0])  # this application answers without reading
        assert await closed(halves[0])


async def test_a_head_that_does_not_come_is_not_waited_for_nor_one_that_never_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    monkeypatch.setattr(connections, "HEAD_BYTES", 2000)
    async with serving(Slow(), limit=100) as (port, held):
        assert await closed(await opened(port))
        assert await closed(await opened(port, REQUEST[:-2]))
        assert await closed(await opened(port, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000))
        kept = await opened(port, REQUEST)
        assert await answered(kept)
        await asyncio.sleep(0.4)  # between requests there is more time
        kept[1].write(REQUEST)
        assert await answered(kept)
        kept[1].write(REQUEST[:10])
        assert await closed(kept)
        assert held.open == 0
        assert not held.idle


async def test_a_client_that_takes_nothing_of_what_is_sent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(Slow):
        async def answer(self, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while self.let.is_set():
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                await asyncio.sleep(0)

    monkeypatch.setattr(connections, "STALLED_S", 0.3)
    app = Endless()
    async with serving(app, limit=10) as (port, held):
        with socket.create_connection(("127.0.0.1", port)) as deaf:
            deaf.sendall(REQUEST)
            await eventually(lambda: held.open)
            await eventually(lambda: not held.open, seconds=20)
        app.let.clear()
        await asyncio.sleep(0.01)  # its last turn


async def test_requests_sent_one_behind_the_other_are_all_answered() -> None:
    async with serving(Slow(), limit=1) as (port, _):
        connection = await opened(port, REQUEST * 3)
        assert [await answered(connection) for _ in range(3)] == [True] * 3


def test_no_more_connections_are_promised_than_the_system_allows_files(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda which: (1024, 4096))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda which, limits: set_to.append(limits))
    assert connection_limit(100_000) == 4096 - connections.OTHER_FILES
    assert set_to == [(4096, 4096)]
    assert connection_limit(1000) == 1000
    assert set_to[1] == (1000 + connections.OTHER_FILES, 4096)


class Counted(asyncio.Protocol):
    def __init__(self, made: list[Counted]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made.append(self)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield listener


def clients(listener: socket.socket, count: int) -> list[socket.socket]:
    return [socket.create_connection(listener.getsockname()) for _ in range(count)]


async def test_all_who_wait_are_let_in_at_once_however_long_a_turn_takes(listener: socket.socket) -> None:
    made: list[Counted] = []
    waiting = clients(listener, connections.ACCEPTED_AT_ONCE)
    listening = Listening([listener], lambda: Counted(made))
    for _ in range(5):  # turns of the event loop
        await asyncio.sleep(0)
    assert len(made) == len(waiting)
    listening.stop()
    for each in waiting:
        each.close()


async def test_who_has_come_before_the_end_is_let_in(listener: socket.socket) -> None:
    made: list[Counted] = []
    listening = Listening([listener], lambda: Counted(made))
    waiting = clients(listener, 10)
    listening.stop()
    assert listener.fileno() == -1
    await eventually(lambda: len(made) == 10)
    for each in waiting:
        each.close()


async def test_where_no_more_files_may_be_open_it_is_tried_again(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "RETRY_S", 0.05)

    class Full(socket.socket):
        refusals = 2

        def accept(self):
            if Full.refusals:
                Full.refusals -= 1
                raise OSError(24, "Too many open files")
            return super().accept()

    made: list[Counted] = []
    full = Full(fileno=listener.detach())
    listening = Listening([full], lambda: Counted(made))
    with socket.create_connection(full.getsockname()):
        await eventually(lambda: len(made) == 1)
    listening.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "a connection cannot be accepted: [Errno 24] Too many open files"
    ] * 2
