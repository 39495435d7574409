"""All jobs, as folders in one folder that several gateways may share: adding, finding, taking, removing.

Nobody needs to be told of anything: each gateway looks what is there. Knows nothing of who translates.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from service.config import FileSettings
from service.errors import NotFound, NotReady, Overloaded
from service.gateway.files.folder import Damaged, End, Job, JobFolder
from service.translating.files import write

ABANDONED_S = 3600.0  # what a process has left that ended while it was adding or removing a job
FULL_RETRY_S = 60.0

_ID = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger("triptych.files")


class Store:
    def __init__(self, folder: Path, settings: FileSettings) -> None:
        """The folder is made with the first job."""
        self.folder = folder
        self._settings = settings
        self._told: set[str] = set()  # damaged jobs that the log has

    def add(self, job: Job, data: bytes) -> JobFolder:
        """Overloaded where no more are kept, NotReady where none can be."""
        self._check_room(len(data))
        made = JobFolder(self.folder / secrets.token_hex(16))
        scratch = JobFolder(self.folder / f".new-{made.id}")
        try:
            scratch.path.mkdir(parents=True, mode=0o700)
            write(scratch.source, data)
            scratch.write(job)
            scratch.path.rename(made.path)
        except OSError as error:
            shutil.rmtree(scratch.path, ignore_errors=True)
            log.exception("a job cannot be kept")
            raise NotReady(f"the job cannot be kept: {error.strerror}") from error
        return made

    def find(self, id: str, whose: str | None = None) -> JobFolder:
        """NotFound where there is none, or it is not the key's called `whose`; None: anybody's."""
        if _ID.fullmatch(id) and (self.folder / id).is_dir():
            found = JobFolder(self.folder / id)
            if whose is None or found.job().key == whose:
                return found
        raise NotFound(f"there is no job {id[:40]!r}: it was removed, or {self._settings.keep_hours:g} h have passed")

    def remove(self, job: JobFolder) -> None:
        """Whoever works on it finds that it is gone."""
        gone = self.folder / f".gone-{job.id}-{secrets.token_hex(4)}"
        try:
            job.path.rename(gone)
        except FileNotFoundError:
            return  # somebody else was first
        shutil.rmtree(gone, ignore_errors=True)

    def take(self, without: Collection[str]) -> tuple[JobFolder, int] | None:
        """The oldest job that is not at its end, nobody works on, and is none of `without`; and its lock."""
        for job in sorted(self._all(), key=_age):
            if job.id in without or (job.path / "end.json").exists() or (lock := job.lock()) is None:
                continue
            try:
                job.job()
                if job.end() is None:  # somebody may have ended it before it was locked
                    return job, lock
            except Damaged as damaged:
                if job.id not in self._told:
                    self._told.add(job.id)
                    log.error("job %s: %s", job.id, damaged)
            except FileNotFoundError:
                pass
            os.close(lock)
        return None

    def sweep(self) -> None:
        """Remove what has been kept for long enough."""
        now, kept_s = time.time(), self._settings.keep_hours * 3600
        for job in self._all():
            end = job.end()
            if (end is not None and end.at + kept_s < now) or (end is None and _is_damaged(job, now - kept_s)):
                self.remove(job)
        for left in self._entries("."):
            if JobFolder(left).touched() < now - ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)

    def expires(self, end: End) -> float:
        return end.at + self._settings.keep_hours * 3600

    def _check_room(self, more: int) -> None:
        # One removed while its journal was being written has left a folder with nothing but that, for a moment.
        jobs, limits = [job for job in self._all() if job.is_whole], self._settings
        if len(jobs) >= limits.max_jobs:
            said = f"{len(jobs)} jobs are kept, the limit is {limits.max_jobs}"
            raise Overloaded(f"{said}: DELETE removes one", limit=limits.max_jobs, retry_after_s=FULL_RETRY_S)
        kept = sum(job.kept_bytes() for job in jobs)
        if kept + more > limits.max_kept_bytes:
            said = f"{kept} bytes of jobs are kept, {more} more would exceed the limit of {limits.max_kept_bytes}"
            raise Overloaded(f"{said}: DELETE removes a job", limit=limits.max_kept_bytes, retry_after_s=FULL_RETRY_S)

    def _all(self) -> list[JobFolder]:
        return [JobFolder(path) for path in self._entries("") if _ID.fullmatch(path.name)]

    def _entries(self, prefix: str) -> list[Path]:
        try:
            return [self.folder / name for name in os.listdir(self.folder) if name.startswith(prefix)]
        except (FileNotFoundError, NotADirectoryError):
            return []


def _age(job: JobFolder) -> tuple[float, str]:
    try:
        return (job.path / "job.json").stat().st_mtime, job.id
    except OSError:
        return 0.0, job.id


def _is_damaged(job: JobFolder, before: float) -> bool:
    """And nothing has changed since then."""
    try:
        job.job()
    except Damaged:
        return job.touched() < before
    except FileNotFoundError:
        pass
    return False
