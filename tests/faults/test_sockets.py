"""Connections that idle, dawdle or do not read."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

from service.gateway.connections import HEAD_S
from tests.e2e.service import Service

LIMIT, TIMEOUT_S = 300, 4.0


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(registry: str) -> Iterator[Service]:
    environment = {
        "TRIPTYCH_GATEWAY__MAX_CONNECTIONS": str(LIMIT),
        "TRIPTYCH_GATEWAY__REQUEST_TIMEOUT_S": str(TIMEOUT_S),
    }
    running = Service("--registry", registry, environment=environment).wait_until_ready()
    yield running
    running.stop()


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), 5)


def answers(service: Service) -> bool:
    answer = httpx.post(f"{service.url}/classify", json={"inputs": "최고"}, timeout=5)
    return answer.status_code == 200


def test_idle_sockets_shut_nobody_out(service: Service) -> None:
    with ExitStack() as stack:
        for _ in range(2 * LIMIT):
            stack.enter_context(connect(service))
        assert answers(service)


def test_kept_connections_give_way_to_new_ones(service: Service) -> None:
    with ExitStack() as stack:
        kept = [stack.enter_context(httpx.Client()) for _ in range(LIMIT + 20)]
        for client in kept:
            assert client.get(f"{service.url}/livez").status_code == 200
        assert answers(service)


def test_a_head_that_does_not_come_is_not_waited_for(service: Service) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(service)) for _ in range(20)]
        for each in slow:
            each.sendall(b"POST /classify HTTP/1.1\r\nhost: x\r\n")
        began = time.monotonic()
        while time.monotonic() - began < HEAD_S / 2:  # a byte now and then keeps nothing alive
            for each in slow:
                each.sendall(b"x")
            time.sleep(1)
        for each in slow:
            each.settimeout(HEAD_S + 5 - (time.monotonic() - began))
            with suppress(ConnectionResetError):
                assert each.recv(100) == b""
        assert time.monotonic() - began < HEAD_S + 5
    assert answers(service)


def test_a_body_that_does_not_come_is_refused_after_the_time_for_a_request(service: Service) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(service)) for _ in range(20)]
        began = time.monotonic()
        for each in slow:
            head = "POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
            each.sendall(head.encode() + b'{"inputs"')
        for each in slow:
            each.settimeout(TIMEOUT_S + 5)
            received = b""
            while chunk := each.recv(4096):
                received += chunk
            head, _, body = received.decode().partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 408 "), head
            error = json.loads(body)["error"]
            assert error["code"] == "request_timeout"
            assert "9 bytes" in error["message"]
        assert TIMEOUT_S - 0.5 < time.monotonic() - began < TIMEOUT_S + 5
    assert answers(service)


def test_an_endless_head_is_cut(service: Service) -> None:
    with connect(service) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\n")
        with pytest.raises(OSError):  # noqa: PT012
            for _ in range(10_000):
                slow.sendall(b"x-filler: " + b"y" * 1000 + b"\r\n")
                time.sleep(0.0005)
    assert answers(service)
