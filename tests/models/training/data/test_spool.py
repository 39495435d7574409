from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import models
from models.training.data.rows import TextRow
from models.training.data.spool import Spool, key_of, prepared, spooled_rows, write_rows

ROWS = [
    TextRow("a\tb\nc\u2028d", "é", None, "fr", None),
    TextRow("", "x", "y", None, "<9>"),
    TextRow("후", "", "", None, None),
]


def test_rows_come_back_as_they_were_written_and_repeated_ones_follow_themselves(tmp_path):
    with (tmp_path / "rows.jsonl").open("w", encoding="utf-8") as file:
        write_rows(file, ROWS)
    with (tmp_path / "rows.jsonl").open(encoding="utf-8") as file:
        assert list(spooled_rows(file)) == ROWS
    spool = Spool(tmp_path / "rows.jsonl", [(1, 3), (0, 5), (2, 1)], "key")
    assert list(spool) == [ROWS[0]] * 3 + ROWS[1:]
    assert list(spool) == list(spool)
    assert len(spool) == 5


def test_a_folder_is_built_once_and_replaced_when_its_key_changes(tmp_path):
    built: list[str] = []

    def build(folder: Path) -> None:
        built.append("once")
        (folder / "file").write_text("whole")

    first = prepared(tmp_path, "rows", "1", build)
    assert prepared(tmp_path, "rows", "1", build) == first
    assert (first / "file").read_text() == "whole"
    second = prepared(tmp_path, "rows", "2", build)
    assert len(built) == 2
    assert second.is_dir()
    assert not first.exists()


def test_an_interrupted_build_is_not_taken_for_a_whole_one(tmp_path):
    def die(folder: Path) -> None:
        (folder / "file").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(tmp_path, "rows", "1", die)
    (tmp_path / ".rows.unfinished").mkdir(exist_ok=True)  # as a kill would leave it
    (tmp_path / ".rows.unfinished" / "other").write_text("half")
    folder = prepared(tmp_path, "rows", "1", lambda folder: None)
    assert list(folder.iterdir()) == []


def test_of_several_who_ask_at_once_one_builds(tmp_path):
    built: list[int] = []
    begun = threading.Event()

    def build(folder: Path) -> None:
        built.append(1)
        begun.wait(0.2)

    threads = [threading.Thread(target=prepared, args=(tmp_path, "rows", "1", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [1]


def test_keys_are_those_of_the_values():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_a_process_killed_while_it_builds_leaves_nothing_and_frees_the_others(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from models.training.data.spool import prepared\n"
        "def build(folder):\n"
        "    (folder / 'file').write_text('half'); print('begun', flush=True); time.sleep(60)\n"
        "prepared(Path(sys.argv[1]), 'rows', '1', build)"
    )
    root = Path(models.__file__).parents[1]
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "begun\n"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert not list(tmp_path.glob("rows-*"))
    folder = prepared(tmp_path, "rows", "1", lambda folder: (folder / "file").write_text("whole"))
    assert (folder / "file").read_text() == "whole"
