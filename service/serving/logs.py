"""Takes the log lines of the service's processes and writes them to stderr, each whole.

They do not pass through Ray's files: those have an end, prefixes and a disk that can be full. Knows nothing of what
the lines say.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from typing import BinaryIO

from service.observability.logging import END_OF_RECORD


class LogServer:
    """Listens at `path` while the block lasts."""

    def __init__(self, path: str, out: BinaryIO | None = None) -> None:
        self._out = out or sys.stderr.buffer
        self._writing = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        threading.Thread(target=self._accept, name="logs", daemon=True).start()

    def __enter__(self) -> LogServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(connection,), daemon=True).start()

    def _relay(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as received:
            buffered = b""
            while chunk := received.read1(65536):
                *whole, buffered = (buffered + chunk).split(END_OF_RECORD)
                for record in whole:
                    self.write(record)

    def write(self, record: bytes) -> None:
        with self._writing, suppress(OSError):  # whoever reads stderr may have gone
            self._out.write(record + b"\n")
            self._out.flush()
