"""One contender in a process of its own: jobs come in and figures go out, a line of JSON each.

    python -m loadtests.bench.worker      # started by `measure`

In one process, contenders would not be alone: an OpenMP that has more threads than the machine has cores lets them
sleep where it would have let them spin, and memory that one engine has freed serves the next one.

The memory of a job is the process's peak while it runs, weights included; and that or what reading the float32 weights
and converting them took, for which there are two copies for a while, whichever is more. The libraries are what was
there before.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.bench.jobs import Contender, Entry, Ids, Job, Room

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Run:
    outputs: list[Ids]
    seconds: float  # of one run
    peak_mib: float
    running_mib: float
    libraries_mib: float


class Worker:
    """The parent's side. It starts at once and loads beside others; the first `run` waits for it."""

    def __init__(self, entry: Entry, directory: Path, room: Room, threads: int) -> None:
        self.entry = entry
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.bench.worker"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._send({"entry": asdict(entry), "directory": str(directory), "room": asdict(room), "threads": threads})

    def run(self, job: Job, least_s: float = 0.0) -> Run:
        """Once, or as often as takes `least_s` seconds."""
        self._send({"job": asdict(job), "least_s": least_s})
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.entry.engine} {self.entry.label} ended with {self._process.wait()}")
        return Run(**json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


def timed(contender: Contender, job: Job, least_s: float) -> tuple[list[Ids], float]:
    """Outputs, and the seconds of a run; a short one is repeated."""
    runs, started = 0, time.perf_counter()
    while True:
        outputs = contender.run(job)
        runs, elapsed = runs + 1, time.perf_counter() - started
        if elapsed >= least_s:
            return outputs, elapsed / runs


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # a library's prints are none of the answers
    request = json.loads(sys.stdin.readline())
    entry, room = Entry(**request["entry"]), Room(**request["room"])
    open_model = entry.opener()
    libraries_mib = _memory_mib("VmRSS")
    contender = open_model(entry, Path(request["directory"]), room, request["threads"])
    gc.collect()
    loading_mib = _memory_mib("VmHWM")
    for line in sys.stdin:
        asked = json.loads(line)
        _forget_peak()
        outputs, seconds = timed(contender, Job(**asked["job"]), asked["least_s"])
        running_mib = _memory_mib("VmHWM")
        run = Run(
            outputs=outputs,
            seconds=seconds,
            peak_mib=max(loading_mib, running_mib),
            running_mib=running_mib,
            libraries_mib=libraries_mib,
        )
        print(json.dumps(asdict(run)), file=answers, flush=True)


def _forget_peak() -> None:
    """Start anew with what is held now, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _memory_mib(name: str) -> float:
    """What this process holds now, VmRSS, or held at most, VmHWM; the latter anyway where the system does not tell."""
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="utf-8").splitlines() if status.exists() else ():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 2**10
    # Not where there is /proc: a child's maximum begins with its parent's.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
