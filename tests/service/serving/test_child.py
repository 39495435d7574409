"""Children that are real processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from service.serving.child import DEAF_TO, Child, end_descendants

ECHO = """
import subprocess, sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
print("setup", connection.recv(), flush=True)
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
connection.send(below.pid)
while True:
    try:
        told = connection.recv()
    except EOFError:
        sys.exit(7)
    if told == "fail":
        print("it went wrong", file=sys.stderr, flush=True)
        sys.exit(3)
    connection.send(told)
"""


@pytest.fixture
def child(tmp_path: Path) -> Child:
    (tmp_path / "echoing.py").write_text(ECHO)
    return Child("echo", "echoing", {"a": 1}, environment={**os.environ, "PYTHONPATH": str(tmp_path)})


def heard(child: Child, count: int = 1) -> list[object]:
    reports: list[object] = []
    deadline = time.monotonic() + 20
    while len(reports) < count and time.monotonic() < deadline:
        reports += child.reports()
        time.sleep(0.01)
    return reports


def test_it_is_set_up_told_things_and_says_things(child: Child) -> None:
    child.tell("hello")
    _, said = heard(child, 2)
    assert said == "hello"
    assert list(child.printed) == ["setup {'a': 1}"]
    child.connection.close()
    assert child.wait(10)
    assert child.how_it_ended().startswith("ended with status 7")
    end_descendants()


def test_signals_reach_neither_it_nor_what_it_starts(child: Child) -> None:
    (below,) = heard(child)
    assert isinstance(below, int)
    for number in DEAF_TO:
        for pid in (child.process.pid, below):
            os.kill(pid, number)
    child.tell("still there")
    assert heard(child) == ["still there"]
    assert psutil.Process(below).status() != psutil.STATUS_ZOMBIE
    assert DEAF_TO[0] not in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # this process hears them as before
    end_descendants()
    assert not psutil.pid_exists(below) or psutil.Process(below).status() == psutil.STATUS_ZOMBIE
    assert child.wait(5)
    assert child.how_it_ended() == "was ended by SIGKILL"


def test_its_last_words_are_part_of_how_it_ended(child: Child) -> None:
    child.tell("fail")
    assert child.wait(20)
    deadline = time.monotonic() + 5
    while len(child.printed) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child.how_it_ended() == "ended with status 3: it went wrong"
    child.tell("too late")  # which nobody hears, and nobody minds
    end_descendants()
