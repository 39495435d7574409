"""Peak resident memory of one contender at some jobs, in this process, which does nothing else.

    python -m loadtests.bench.memory < request.json      # started by `measure`

Three figures a job: the libraries when they have been imported; the most while the job runs, weights included; and that
or what reading the float32 weights and converting them took, for which there are two copies for a while, whichever is
more. A process of its own, because memory that one engine has freed would serve the next one.
"""

from __future__ import annotations

import contextlib
import gc
import json
import resource
import sys
from pathlib import Path

from loadtests.bench.jobs import Entry, Job, Room

MIB = 2**20


def resident() -> int:
    """Bytes that this process holds in memory now; its peak where the system does not tell."""
    return _status("VmRSS") or _maximum()


def peak() -> int:
    """Not from getrusage where there is /proc: a child's maximum there begins with its parent's."""
    return _status("VmHWM") or _maximum()


def forget_peak() -> None:
    """Start anew with what is held now, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), None)


def _maximum() -> int:
    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum if sys.platform == "darwin" else maximum * 1024


def main() -> None:
    request = json.load(sys.stdin)
    entry, room = Entry(**request["entry"]), Room(**request["room"])
    directory, threads = Path(request["directory"]), request["threads"]
    if entry.engine == "ctranslate2":  # without torch, which it does not compute with
        from loadtests.peers import ctranslate2_peer

        libraries = resident()
        contender = ctranslate2_peer.open_model(directory, entry.format, threads, by_tokens=entry.by_tokens)
    else:
        from loadtests.bench import engines

        if entry.engine == "transformers":
            import transformers  # noqa: F401  # so that it counts as a library
        libraries = resident()
        contender = engines.open_entry(entry, directory, room, threads)
    gc.collect()
    loading = peak()
    found = []
    for job in request["jobs"]:
        forget_peak()
        contender.run(Job(**job))
        running = peak()
        figures = {"peak_mib": max(loading, running), "running_mib": running, "libraries_mib": libraries}
        found.append({name: value / MIB for name, value in figures.items()})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
