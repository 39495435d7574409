from __future__ import annotations

from pathlib import Path

import pytest

from models import disk
from models.disk import move_into_place


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / ".scratch"
    folder.mkdir()
    (folder / "new").write_text("new")
    return folder


def test_a_folder_takes_the_place_of_what_was_there(scratch: Path) -> None:
    final = scratch.parent / "final"
    final.mkdir()
    (final / "old").write_text("old")
    move_into_place(scratch, final)
    assert [path.name for path in final.iterdir()] == ["new"]
    assert not scratch.exists()


def test_everything_is_on_disk_before_the_name_that_shows_it(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = scratch.parent / "final"
    synced: list[tuple[str, bool]] = []
    monkeypatch.setattr(disk, "sync", lambda path: synced.append((path.name, final.exists())))
    move_into_place(scratch, final)
    assert synced == [("new", False), (".scratch", False), (scratch.parent.name, True)]
