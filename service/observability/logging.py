"""Logs: one JSON object a line, or readable lines on a terminal; to stderr, or to the socket that a supervisor reads.

Fields come as `logger.info("...", extra={"request_id": ...})`. Knows nothing of what is logged.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
from typing import TextIO

ROOT = "triptych"  # every logger of the project is a child of this one
END_OF_RECORD = b"\0"  # between the records on a socket: one may have several lines
PATIENCE_S = 1.0
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a value that is not JSON is written as text."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class ReadableFormatter(logging.Formatter):
    """`12:00:00 INFO triptych.http: message key=value ...`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        return super().formatMessage(record) + fields


def _extra(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave; names with an underscore are what libraries (Ray) put on every record."""
    given = {name: value for name, value in vars(record).items() if name not in _STANDARD and name[0] != "_"}
    return {name: value for name, value in given.items() if value is not None}


class SocketHandler(logging.Handler):
    """Sends each record to the Unix socket at `path`. One that cannot be sent there goes to stderr.

    A reader that stops reading costs `PATIENCE_S` once and the connection, not the service.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._socket: socket.socket | None = None

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        try:
            self._send(text.encode(errors="replace") + END_OF_RECORD)
        except OSError:
            self.close_socket()
            print(text, file=sys.__stderr__)

    def _send(self, content: bytes) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(PATIENCE_S)
            self._socket.connect(self._path)
        self._socket.sendall(content)

    def close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()  # half a record dies with it
            self._socket = None

    def close(self) -> None:
        self.close_socket()
        super().close()


def configure_logging(
    level: str = "INFO", *, json_lines: bool | None = None, stream: TextIO | None = None, path: str | None = None
) -> None:
    """Send the project's logs to `stream` (stderr), or to the socket at `path`.

    `json_lines`: None chooses JSON unless it is a terminal. Calling it again replaces what the last call set up.
    """
    stream = stream or sys.stderr
    json_lines = not stream.isatty() if json_lines is None else json_lines
    handler = logging.StreamHandler(stream) if path is None else SocketHandler(path)
    handler.setFormatter(JsonFormatter() if json_lines else ReadableFormatter())
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False  # the host's own handlers would print each line twice
