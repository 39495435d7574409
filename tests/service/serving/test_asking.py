"""What the commands ask a running service, over a real socket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service.config import Settings
from service.serving.asking import ask, local_url


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked; below /broken without JSON, below /refused with an error."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        asked = {"method": self.command, "body": body, "token": self.headers.get("authorization")}
        self.send_response(409 if self.path == "/refused" else 200)
        self.end_headers()
        self.wfile.write(b"not \xff JSON" if self.path == "/broken" else json.dumps(asked).encode())

    do_POST = do_GET  # as the library calls it

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_body_is_posted_as_json_with_the_headers_given(url: str) -> None:
    assert ask(f"{url}/info") == (200, {"method": "GET", "body": "", "token": None})
    status, asked = ask(f"{url}/admin/reload", {"model": "m"}, headers={"authorization": "Bearer x"})
    assert (status, asked) == (200, {"method": "POST", "body": '{"model": "m"}', "token": "Bearer x"})


def test_an_error_is_an_answer_and_what_is_no_json_is_text(url: str) -> None:
    status, answer = ask(f"{url}/refused")
    assert (status, answer["method"]) == (409, "GET")
    assert ask(f"{url}/broken") == (200, "not \ufffd JSON")


def test_where_nobody_answers_the_reason_is_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    status, reason = ask(f"http://127.0.0.1:{port}/readyz")
    assert status == 0
    assert "refused" in reason


def test_a_proxy_is_not_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert ask(f"{url}/info")[0] == 200


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("10.1.2.3", "http://10.1.2.3:8000"),
    ],
)
def test_a_service_on_every_interface_is_asked_on_the_loopback_one(host: str, url: str) -> None:
    assert local_url(Settings(host=host)) == url
