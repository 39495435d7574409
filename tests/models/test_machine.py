from __future__ import annotations

from pathlib import Path

from models.machine import machine_available_bytes

GIB = 2**30


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MACHINE = {"proc/meminfo": f"MemTotal: {16 * 2**20} kB\nMemAvailable: {8 * 2**20} kB\n"}
V1 = "sys/fs/cgroup/memory"


def test_it_is_what_the_machine_has_left(tmp_path: Path) -> None:
    assert machine_available_bytes(write(tmp_path, MACHINE)) == 8 * GIB


def test_nobody_knows_on_another_system(tmp_path: Path) -> None:
    assert machine_available_bytes(tmp_path) is None


def test_a_containers_limit_counts_and_what_its_file_cache_gives_back(tmp_path: Path) -> None:
    limit = {
        "proc/self/cgroup": "0::/docker/of-the-host\n",
        "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/memory.current": f"{3 * GIB}\n",
        "sys/fs/cgroup/memory.stat": f"anon {2 * GIB}\ninactive_file {GIB}\n",
    }
    assert machine_available_bytes(write(tmp_path, MACHINE | limit)) == 2 * GIB


def test_a_limit_above_the_own_group_counts(tmp_path: Path) -> None:
    limit = {
        "proc/self/cgroup": "0::/user.slice/app.service\n",
        "sys/fs/cgroup/user.slice/memory.max": f"{GIB}\n",
        "sys/fs/cgroup/user.slice/memory.current": f"{GIB // 2}\n",
        "sys/fs/cgroup/user.slice/app.service/memory.max": "max\n",
        "sys/fs/cgroup/user.slice/app.service/memory.current": "1\n",
    }
    assert machine_available_bytes(write(tmp_path, MACHINE | limit)) == GIB // 2


def test_the_first_version_of_control_groups_counts_too(tmp_path: Path) -> None:
    limit = {
        "proc/self/cgroup": "4:cpu:/\n3:memory:/job\n0::/\n",
        f"{V1}/job/memory.limit_in_bytes": f"{3 * GIB}\n",
        f"{V1}/job/memory.usage_in_bytes": f"{2 * GIB}\n",
        f"{V1}/job/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB}\n",
        f"{V1}/memory.limit_in_bytes": f"{2**63 - 4096}\n",  # none
        f"{V1}/memory.usage_in_bytes": f"{2 * GIB}\n",
    }
    assert machine_available_bytes(write(tmp_path, MACHINE | limit)) == 2 * GIB


def test_this_machine_has_some() -> None:
    assert (machine_available_bytes() or 0) > 2**20
