"""Ctrl-C while libraries are loaded, which would leave them half loaded, and the process with a traceback or worse."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # what shells call a process that Ctrl-C has ended


@contextmanager
def ended_at_once(tidy: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Inside, Ctrl-C ends the process without a word, after `tidy`. To be used in the main thread."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler:  # a job in the background of a shell, which is not to be interrupted
        yield
        return

    def end(_: int, __: FrameType | None) -> None:
        tidy()
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
