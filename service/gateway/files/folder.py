"""One job as a folder: what is asked, the file, how far it is, what came of it. Whoever holds its lock works on it.

    job.json        what is asked; written once
    source          the file
    lock            an OS lock: ends with the process that holds it
    progress.json   how far it is
    journal         the translations so far
    result          the translated file
    end.json        what came of it; written last, and source and journal are removed

Every file but the journal is there whole or not at all. Knows nothing of other jobs and of who translates.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from service.translating.files import overwrite

Status = Literal["waiting", "running", "done", "failed"]
T = TypeVar("T")


class Damaged(Exception):
    """What is asked cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is asked."""

    name: str  # of the file
    output: str  # of the translated one
    options: dict[str, Any]  # of `form.Options`
    texts: int
    characters: int
    created: float  # seconds since the epoch, as all times here
    key: str | None = None  # the name of whose it is, where keys are asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    done: int  # characters; a text that is there several times counts once
    total: int
    in_vain: int = 0  # how often a process has taken the job, since something came of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Places and what is to be told of them; the first ones of many."""

    count: int = 0
    first: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    at: float
    error: dict[str, str] | None = None  # code, message: of a job that failed
    left: Told = field(default_factory=Told)  # texts that stayed as they were
    doubtful: Told = field(default_factory=Told)  # translations that did not come to their end
    notes: list[str] = field(default_factory=list)


class JobFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def is_whole(self) -> bool:
        return (self.path / "job.json").exists()

    @property
    def source(self) -> Path:
        return self.path / "source"

    @property
    def result(self) -> Path:
        return self.path / "result"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    def job(self) -> Job:
        """Raises Damaged, and FileNotFoundError where there is no such folder."""
        try:
            return Job(**json.loads((self.path / "job.json").read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            if not self.path.is_dir():
                raise FileNotFoundError(self.path) from None
            raise Damaged(f"job.json cannot be read: {type(error).__name__}: {error}") from None

    def progress(self) -> Progress | None:
        return _read(self.path / "progress.json", lambda said: Progress(**said))

    def end(self) -> End | None:
        def made(said: dict[str, Any]) -> End:
            return End(**{**said, "left": Told(**said["left"]), "doubtful": Told(**said["doubtful"])})

        return _read(self.path / "end.json", made)

    def status(self) -> Status:
        if (end := self.end()) is not None:
            return "failed" if end.error else "done"
        lock = self.lock()
        if lock is None:
            return "running"
        os.close(lock)
        return "waiting"

    def write(self, said: Job | Progress | End) -> None:
        """FileNotFoundError where the folder has been removed: it is not made again."""
        name = type(said).__name__.lower()
        overwrite(self.path / f"{name}.json", json.dumps(asdict(said), ensure_ascii=False).encode(errors="replace"))

    def forget(self) -> None:
        """What nobody needs any more who has the end."""
        self.source.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)

    def lock(self) -> int | None:
        """An open file that is locked until it is closed; None where somebody has it, or there is no such folder."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock

    def kept_bytes(self) -> int:
        with suppress(OSError):
            return sum(each.stat().st_size for each in self.path.iterdir())
        return 0

    def touched(self) -> float:
        """When something in it was made, removed or replaced."""
        with suppress(OSError):
            return self.path.stat().st_mtime
        return time.time()


def _read(path: Path, made: Any) -> Any:
    """None where it is not there, or cannot be read: it is made anew."""
    try:
        return made(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError):
        return None
