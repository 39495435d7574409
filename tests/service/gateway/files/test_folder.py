from __future__ import annotations

import time
from pathlib import Path

import pytest

from service.gateway.files.folder import End, JobFolder, Progress


@pytest.mark.parametrize("said", [Progress(done=1, total=2), End(at=time.time())])
def test_what_is_said_of_a_job_that_was_removed_does_not_make_it_again(tmp_path: Path, said: Progress | End) -> None:
    folder = JobFolder(tmp_path / "job")
    with pytest.raises(FileNotFoundError):
        folder.write(said)
    assert not folder.path.exists()


def test_what_is_said_of_a_job_is_read_again(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.write(Progress(done=1, total=2))
    folder.write(Progress(done=2, total=2))
    assert folder.progress() == Progress(done=2, total=2)
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]
