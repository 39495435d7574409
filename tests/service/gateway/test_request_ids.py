"""One id for a request: in the header, in the body and in the log, whatever the client sent."""

from __future__ import annotations

import json
import logging
import socket
from urllib.parse import urlsplit

import pytest

from tests.waiting import wait_for


def ask(url: str, *ids: bytes) -> tuple[list[str], str]:
    """The ids in the headers of the answer and the one in its body, of an error, over a real socket."""
    place = urlsplit(url)
    head = b"".join(b"x-request-id:" + one + b"\r\n" for one in ids)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(b"GET /nowhere HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n" + head + b"\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    headers, _, body = answer.partition(b"\r\n\r\n")
    lines = [line.decode("latin-1").partition(":") for line in headers.split(b"\r\n")[1:]]
    found = [value.strip() for name, _, value in lines if name.lower() == "x-request-id"]
    return found, json.loads(body)["error"]["request_id"]


@pytest.mark.parametrize(
    ("ids", "taken_over"),
    [
        ((), None),
        ((b" mine",), "mine"),
        ((b" mine", b" another"), "mine"),
        ((b" with spaces: ok",), "with spaces: ok"),
        ((b"",), None),
        ((b"", b" mine"), None),
        ((b" " + b"~" * 128,), "~" * 128),
        ((b" " + b"x" * 129,), None),
        ((b" caf\xe9",), None),
        ((" café".encode(),), None),
        ((b" tab\tbed",), None),
        ((b" " + b"x" * 129, b" mine"), None),
    ],
)
def test_header_body_and_log_have_one_id(server, caplog, ids, taken_over):
    caplog.set_level(logging.INFO, "triptych")
    in_headers, in_body = ask(server, *ids)
    assert in_headers == [in_body]
    assert taken_over in (in_body, None)
    assert taken_over or len(in_body) == 32
    wait_for(lambda: [record.request_id for record in caplog.records] == [in_body])
