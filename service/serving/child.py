"""A child process: started deaf to signals, told things over a pipe, and ended with everything below it.

A supervisor such as systemd signals every process of a service at once. Only the one that knows the order of things
may hear that, so a child, and whatever it starts in turn, has these signals blocked: a blocked signal is inherited
across `fork` and `exec`, which an ignored one is not wherever somebody installs a handler.

Knows nothing of what the children do.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

import psutil

DEAF_TO = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LAST_LINES = 100
GONE_S = 2.0  # until the kernel has ended what was killed


class Child:
    """`python -m MODULE FD`: `FD` is its end of the pipe, on which it gets `setup` first."""

    def __init__(
        self,
        name: str,
        module: str,
        setup: object,
        *,
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`on_line` gets each line the child prints, in a thread of its own."""
        self.name = name
        self.heard: float | None = None  # when it last said something
        self.printed: deque[str] = deque(maxlen=LAST_LINES)
        self._on_line = on_line
        ours, theirs = Pipe()
        with theirs, _deaf():
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(), *descriptors),
                env=dict(environment),
                start_new_session=True,
                text=True,
                errors="replace",
            )
        self.connection = ours
        threading.Thread(target=self._read, name=f"{name}'s output", daemon=True).start()
        self.tell(setup)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line.rstrip())
            self._on_line(line.rstrip())

    def tell(self, message: object) -> None:
        """Nothing happens where it has ended: its end is noticed elsewhere."""
        with suppress(OSError):
            self.connection.send(message)

    def reports(self) -> list[Any]:
        """What it has said since the last time."""
        heard: list[Any] = []
        with suppress(EOFError, OSError):  # it has ended, which `running` says
            while self.connection.poll():
                heard.append(self.connection.recv())
        if heard:
            self.heard = time.monotonic()
        return heard

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def how_it_ended(self) -> str:
        """In words, with the last line it printed."""
        status = self.process.poll()
        if status is None:
            return "still runs"
        how = f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
        last = next((line for line in reversed(self.printed) if line.strip()), "")
        return f"{how}: {last}" if last and status > 0 else how

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within that time."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(timeout_s, 0))
        return not self.running


def end_descendants() -> None:
    """End everything that this process or its children started, at once."""
    descendants = psutil.Process().children(recursive=True)
    for each in descendants:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    until = time.monotonic() + GONE_S
    while any(_runs(each) for each in descendants) and time.monotonic() < until:
        time.sleep(0.01)


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose parent ends, so that none outlives the service."""
    if sys.platform == "linux":
        import ctypes

        set_child_subreaper = 36  # of <linux/prctl.h>
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


class _deaf:
    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
