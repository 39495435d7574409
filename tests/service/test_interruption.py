from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from service.interruption import ended_at_once

INTERRUPTED = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from service.interruption import ended_at_once
with ended_at_once(lambda: print("tidied", flush=True)):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # as libraries do around what they import
        print("went on")
"""


def test_ctrl_c_ends_the_process_after_it_has_tidied_up_whoever_catches_exceptions() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "tidied\n", "")


def test_behind_it_ctrl_c_is_an_exception_again() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ended_at_once():
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_who_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ended_at_once():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
