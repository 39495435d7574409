"""Asks a running service over HTTP, as the commands do. Knows nothing of what it is asked."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from service.config import Settings


def local_url(settings: Settings) -> str:
    """Where the service answers on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def ask(
    url: str, body: Any = None, *, headers: Mapping[str, str] | None = None, timeout_s: float = 15
) -> tuple[int, Any]:
    """Status and JSON of an answer, as text where it is none; 0 and the reason where nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this is no traffic for a proxy
    try:
        with direct.open(request, timeout=timeout_s) as response:
            status, text = response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text
