"""The real service as a child process: what `make serve` starts, on a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 30.0


class Service:
    """Started by the constructor; `wait_until_ready`, then `stop`."""

    def __init__(self, *arguments: str, port: int | None = None, environment: dict[str, str] | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        command = [str(Path(sys.executable).with_name("triptych")), "serve", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._descendants: dict[int, psutil.Process] = {}

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_until_ready(self) -> Service:
        deadline = time.monotonic() + START_TIMEOUT_S
        while "Ctrl-C stops it." not in self.output:
            self.remember_descendants()
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the service did not come up:\n{self.output}")
            time.sleep(0.1)
        return self

    def remember_descendants(self) -> None:
        """Orphans are no longer found below the process that started them."""
        with suppress(psutil.NoSuchProcess):  # it has ended
            for process in psutil.Process(self.process.pid).children(recursive=True):
                self._descendants[process.pid] = process

    def processes(self, said: str) -> list[psutil.Process]:
        """Those of the service whose command line has `said` in it."""
        self.remember_descendants()
        found = []
        for process in self._descendants.values():
            with suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE and said in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def kill_process(self, said: str) -> psutil.Process:
        """End the one process with `said` in its command line, as the kernel would when memory is short."""
        (process,) = self.processes(said)
        process.kill()
        return process

    def wait_for_line(self, said: str, seconds: float = 30.0) -> str:
        """The first line of the output with `said` in it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if said in line:
                    return line
            time.sleep(0.05)
        raise AssertionError(f"no line says {said!r}:\n{self.output}")

    def stop(self, number: int = signal.SIGTERM, *, group: bool = False) -> float:
        """Send the signal, unless it has ended by itself, and wait for the end; seconds it took.

        `group`: to every process of the service, as systemd does.
        """
        self.remember_descendants()
        started = time.monotonic()
        self.process.send_signal(number)
        if group:
            for process in self._descendants.values():
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        finally:
            if self.process.poll() is None:
                self.kill()
        self._reader.join(5)
        return time.monotonic() - started

    def survivors(self) -> list[str]:
        """Command lines of processes that the service started and that still run."""
        running = []
        for process in self._descendants.values():
            with suppress(psutil.NoSuchProcess):  # it ends meanwhile
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    running.append(" ".join(process.cmdline()) or process.name())
        return running

    def kill(self) -> None:
        self.remember_descendants()
        for process in self._descendants.values():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
