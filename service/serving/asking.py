"""Asks a service over HTTP, as the commands do. Knows nothing of what it is asked.

`Client` is what they ask through, wherever the answers come from: here a service that runs (`HttpClient`).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from service.config import Settings

TIMEOUT_S = 15.0


class NotAnswered(Exception):
    """`status` is the answer's, or 0 where there was none; `error` is what it says is wrong."""

    def __init__(self, status: int, answer: Any) -> None:
        error = answer.get("error") if isinstance(answer, dict) else None
        self.status = status
        self.error: dict[str, Any] = error if isinstance(error, dict) else {"message": f"{answer}"[:200]}
        super().__init__(str(self.error.get("message", "")))


class Client(Protocol):
    called: str  # as messages to people name who answers

    def ask(self, path: str, body: Any = None, *, timeout_s: float = TIMEOUT_S) -> tuple[int, Any]:
        """Status and JSON of an answer, as text where it is none; 0 and the reason where nobody answers."""
        ...

    def stream(self, path: str, body: Any, *, timeout_s: float = TIMEOUT_S) -> Iterator[Any]:
        """The JSON of each server-sent event as it comes. Raises NotAnswered, also for an error among them."""
        ...


class HttpClient:
    def __init__(self, url: str, key: str | None = None) -> None:
        """`key` is sent as the service's key."""
        self.url = url.rstrip("/")
        self.called = f"the service at {self.url}"
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}

    def ask(self, path: str, body: Any = None, *, timeout_s: float = TIMEOUT_S) -> tuple[int, Any]:
        return ask(f"{self.url}{path}", body, headers=self._headers, timeout_s=timeout_s)

    def stream(self, path: str, body: Any, *, timeout_s: float = TIMEOUT_S) -> Iterator[Any]:
        try:
            with _open(f"{self.url}{path}", body, self._headers, timeout_s) as response:
                yield from events_of(response)
        except urllib.error.HTTPError as error:
            raise NotAnswered(error.code, _parsed(error.read())) from error
        except (OSError, ValueError) as error:  # ValueError: of an address that is none, or of a line that breaks off
            raise NotAnswered(0, str(error)) from error


def local_url(settings: Settings) -> str:
    """Where the service answers on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def ask(
    url: str, body: Any = None, *, headers: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
) -> tuple[int, Any]:
    """As `Client.ask`, of a whole address."""
    try:
        with _open(url, body, headers or {}, timeout_s) as response:
            return response.status, _parsed(response.read())
    except urllib.error.HTTPError as error:
        return error.code, _parsed(error.read())
    except (OSError, ValueError) as error:  # ValueError: of an address that is none
        return 0, str(error)


def answered(client: Client, path: str, body: Any = None, *, timeout_s: float = TIMEOUT_S) -> Any:
    """The JSON of a good answer. Raises NotAnswered for any other."""
    status, answer = client.ask(path, body, timeout_s=timeout_s)
    if status != 200:
        raise NotAnswered(status, answer)
    return answer


def events_of(lines: Iterable[bytes]) -> Iterator[Any]:
    """The data of server-sent events, of which each has one line, up to an error, which is raised as NotAnswered."""
    name = b""
    for line in lines:
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        if field == b"event":
            name = value.strip()
        elif field == b"data":
            data = json.loads(value)
            if name == b"error":
                raise NotAnswered(500, data)
            yield data
        elif not line.strip():
            name = b""


def within_limits(texts: Sequence[str], max_inputs: int, max_characters: int) -> Iterator[tuple[int, int]]:
    """First and end of the texts of each request, of which there are as few as a service's limits allow."""
    first = characters = 0
    for index, text in enumerate(texts):
        characters += len(text)
        if index > first and (characters > max_characters or index - first >= max_inputs):
            yield first, index
            first, characters = index, len(text)
    if texts:
        yield first, len(texts)


def _open(url: str, body: Any, headers: Mapping[str, str], timeout_s: float) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **headers})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this is no traffic for a proxy
    return direct.open(request, timeout=timeout_s)


def _parsed(content: bytes) -> Any:
    text = content.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
