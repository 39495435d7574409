"""What each process of a service takes of the memory.

    triptych serve & triptych bench memory $!

RSS is all that a process has there, PSS counts of what several share (the pages of libraries, above all) each one's
part, and may be added up. *Own* is what would be free if the process ended; of that, *files* is what lies in files as
well, and *made* the rest: heaps, arenas, stacks.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

MIB = 2**20
_REPLICA = re.compile(r"ray::ServeReplica:[\w-]+:([\w.-]+)")
_KNOWN = {
    "service.deployments.host": "host",
    "service.deployments.server": "gateway",
    "ray::ServeController": "Ray Serve's controller",
    "ray::DashboardAgent": "Ray's dashboard agent",
    "ray::RuntimeEnvAgent": "Ray's runtime environment agent",
    "gcs_server": "Ray's gcs_server",
    "raylet": "Ray's raylet",
    "dashboard.py": "Ray's dashboard",
    "log_monitor.py": "Ray's log monitor",
    "monitor.py": "Ray's autoscaler monitor",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """By one process, in bytes."""

    name: str
    rss: int
    pss: int
    own: int
    own_files: int

    @property
    def is_replica(self) -> bool:
        return self.name.startswith("replica ")


def taken(pid: int) -> list[Taken]:
    """By the process and all below it, the largest share first. Raises ValueError where there is none, or not Linux."""
    try:
        root = psutil.Process(pid)
        return sorted((_of(each) for each in [root, *root.children(recursive=True)]), key=lambda each: -each.pss)
    except (psutil.Error, OSError) as error:
        raise ValueError(f"the memory of process {pid} cannot be read: {error}") from error


def _of(process: psutil.Process) -> Taken:
    maps = process.memory_maps(grouped=True)
    own = {each.path: each.private_clean + each.private_dirty for each in maps}
    return Taken(
        name=_called(process.cmdline() or [process.name()]),
        rss=sum(each.rss for each in maps),
        pss=sum(each.pss for each in maps),
        own=sum(own.values()),
        own_files=sum(size for path, size in own.items() if path.startswith("/")),
    )


def _called(command: list[str]) -> str:
    """What a process of a service is, by its command line."""
    if replica := _REPLICA.match(command[0]):
        return f"replica of {replica[1]}"
    for word in command[:5]:
        for said in (word.split(" ")[0], Path(word).name):
            if said in _KNOWN:
                return _KNOWN[said]
    return "supervisor" if "serve" in command else Path(command[0]).name


def run(*, pid: int, console: Console) -> dict[str, Any]:
    processes = taken(pid)
    table = Table("MiB", "RSS", "PSS", "own", "of it files", "made")
    for each in processes:
        sizes = (each.rss, each.pss, each.own, each.own_files, each.own - each.own_files)
        table.add_row(each.name, *(f"{size / MIB:.0f}" for size in sizes))
    total = sum(each.pss for each in processes)
    table.add_section()
    table.add_row(f"{len(processes)} processes", "", f"{total / MIB:.0f}", "", "", "")
    console.print(table)
    return {"processes": [asdict(each) for each in processes], "pss": total}
