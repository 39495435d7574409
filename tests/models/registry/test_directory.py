from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models import checkpoint
from models.registry import Registry, RegistryError

PUBLISHER = """
import sys
from pathlib import Path
from models.registry import Registry
root, trained, rounds = sys.argv[1:]
print("ready", flush=True); sys.stdin.readline()
for _ in range(int(rounds)):
    print(Registry(root).publish("poet", Path(trained)), flush=True)
"""
SLOW = """
import sys, shutil, time
from pathlib import Path
from models.registry import Registry
root, trained = sys.argv[1:]
def write(directory):
    shutil.copyfile(Path(trained) / "config.json", directory / "config.json")
    print(directory, flush=True)
    time.sleep(600)
Registry(root).publish("poet", write)
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip


def age(path: Path, seconds: float = 7200) -> None:
    for each in (*path.rglob("*"), path):
        os.utime(each, (time.time() - seconds,) * 2)


def test_a_file_url_is_a_directory(tmp_path, trained):
    Registry(f"file://{tmp_path}/registry").publish("poet", trained)
    assert Registry(tmp_path / "registry").resolve("poet") == tmp_path / "registry" / "poet" / "1"
    assert Registry(f"file://{tmp_path}/registry").resolve("poet@1") == tmp_path / "registry" / "poet" / "1"
    assert not (tmp_path / "cache").exists()


def test_processes_that_publish_at_once_never_share_a_number(registry, trained):
    rounds = 20
    publishers = [start(PUBLISHER, registry.root, trained, rounds) for _ in range(2)]
    for publisher in publishers:
        assert publisher.stdout.readline() == "ready\n"
    for publisher in publishers:
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
    taken = [[int(line) for line in publisher.communicate(timeout=120)[0].split()] for publisher in publishers]
    assert [publisher.returncode for publisher in publishers] == [0, 0]
    assert all(numbers == sorted(numbers) for numbers in taken)
    assert sorted(taken[0] + taken[1]) == list(range(1, 2 * rounds + 1))
    (entry,) = registry.list()
    assert entry.current == 2 * rounds
    for version in entry.versions:
        assert checkpoint.verify(registry.resolve(f"poet@{version}")).version == version
    assert not [path for path in (registry.root / "poet").iterdir() if path.name.startswith((".publ", ".curr"))]


def test_a_publisher_that_is_killed_leaves_garbage_that_is_collected(registry, trained):
    registry.publish("poet", trained)
    publisher = start(SLOW, registry.root, trained)
    half = Path(publisher.stdout.readline().strip())
    assert half.is_dir()
    age(half)
    assert registry.collect("poet", 1) == ()  # it is old, but its publisher lives
    publisher.send_signal(signal.SIGKILL)
    publisher.communicate()
    assert registry.publish("poet", trained) == 2
    os.utime(half)
    assert registry.collect("poet", 2) == ()  # nobody holds it, but it is young
    age(half)
    (removal,) = registry.collect("poet", 2, dry_run=True)
    assert removal.what == str(half)
    assert removal.size == (trained / "config.json").stat().st_size
    assert registry.collect("poet", 2) == (removal,)
    assert sorted(path.name for path in (registry.root / "poet").iterdir()) == [".lock", "1", "2", "CURRENT"]


def test_leftovers_of_a_model_without_versions_are_collected_too(registry):
    half = registry.root / "poet" / ".publishing-dead"
    half.mkdir(parents=True)
    (half / "config.json").write_text("{")
    age(half)
    assert registry.list() == ()
    assert [removal.size for removal in registry.collect("poet", 1)] == [1]
    assert not half.exists()


def test_folders_that_are_none_of_its_own_are_left_alone(registry, trained):
    for year in (2023, 2024, 2025):
        (registry.root / "reports" / str(year)).mkdir(parents=True)
    assert registry.list() == ()
    assert registry.collect("reports", 1) == ()
    assert sorted(path.name for path in (registry.root / "reports").iterdir()) == ["2023", "2024", "2025"]
    assert registry.publish("reports", trained) == 2026
    assert registry.collect("reports", 1) == ()


def test_a_removal_that_was_cut_short_is_finished_later(registry, trained):
    for _ in range(2):
        registry.publish("poet", trained)
    cut = registry.root / "poet" / ".removing-dead"
    cut.mkdir()
    (registry.root / "poet" / "1").rename(cut / "1")
    assert registry.list()[0].versions == (2,)
    age(cut)
    assert len(registry.collect("poet", 1)) == 1
    assert not cut.exists()


@pytest.mark.parametrize(("text", "complaint"), [("9\n", "says '9', but there are 1"), ("x", "says 'x', expected a")])
def test_a_pointer_to_nowhere_is_explained(registry, trained, text, complaint):
    registry.publish("poet", trained)
    (registry.root / "poet" / "CURRENT").write_text(text)
    with pytest.raises(RegistryError, match=complaint):
        registry.resolve("poet")
    assert registry.resolve("poet@1").name == "1"


def test_published_files_can_be_read_by_others(registry, trained):
    registry.publish("poet", trained)
    directory = registry.resolve("poet")
    assert directory.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o644}
