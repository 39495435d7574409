"""What processes take, told by Linux."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from rich.console import Console

from loadtests.bench import memory
from loadtests.bench.memory import MIB, taken


@contextmanager
def process(code: str, *arguments: str) -> Iterator[int]:
    command = [sys.executable, "-c", f"{code}; print(flush=True); input()", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        yield running.pid
        running.kill()


def test_what_a_process_made_is_its_own() -> None:
    with process("pass") as small, process(f"made = b'1' * {64 * MIB}") as large:
        (before,), (after,) = taken(small), taken(large)
    assert 63 * MIB < after.own - before.own < 66 * MIB
    assert 63 * MIB < after.pss - before.pss < 66 * MIB
    assert abs(after.own_files - before.own_files) < MIB
    assert after.own <= after.pss <= after.rss


def test_processes_below_are_counted_and_called_what_they_are() -> None:
    replica = "ray::ServeReplica:triptych-translator:translator"
    code = f"import subprocess; subprocess.Popen([{replica!r}, '5'], executable='/bin/sleep')"
    with process(code, "serve") as pid:
        found = taken(pid)
    assert {each.name for each in found} == {"supervisor", "replica of translator"}
    assert [each.name for each in found if each.is_replica] == ["replica of translator"]


def test_a_process_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="process 4194304 cannot be read"):
        taken(2**22)


def test_the_table_has_a_line_for_each_process_and_their_sum() -> None:
    console = Console(file=StringIO(), width=120)
    figures = memory.run(pid=os.getpid(), console=console)
    assert figures["pss"] == sum(each["pss"] for each in figures["processes"]) > MIB
    assert f"{len(figures['processes'])} processes" in console.file.getvalue()  # type: ignore[attr-defined]
