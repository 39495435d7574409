"""What is said of a job. The classes document: what is sent is built as plain dicts; tests compare the two."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from service.gateway.files.folder import Damaged, End, Job, JobFolder, Progress, Status
from service.gateway.files.store import Store


class Characters(BaseModel):
    done: int
    total: int


class Place(BaseModel):
    place: str
    reason: str


class Places(BaseModel):
    count: int
    first: list[Place]


class FileResult(BaseModel):
    file: str
    bytes: int
    left: Places
    doubtful: Places
    notes: list[str]


class JobError(BaseModel):
    code: str
    message: str


class FileJob(BaseModel):
    id: str
    status: Status
    file: str | None
    created: str | None
    texts: int | None
    characters: Characters | None
    ended: str | None
    expires: str | None
    result: FileResult | None
    error: JobError | None


def said_of(folder: JobFolder, store: Store) -> dict[str, Any]:
    """Raises FileNotFoundError where it was removed meanwhile."""
    said: dict[str, Any] = dict.fromkeys(FileJob.model_fields)
    said["id"] = folder.id
    try:
        job = folder.job()
    except Damaged as damaged:
        return {**said, "status": "failed", "error": {"code": "internal", "message": f"the job is damaged: {damaged}"}}
    end = folder.end()
    progress = folder.progress() or Progress(done=0, total=job.characters)
    done = progress.total if end is not None and end.error is None else progress.done
    return {
        **said,
        "status": folder.status(),
        "file": job.name,
        "created": _iso(job.created),
        "texts": job.texts,
        "characters": {"done": done, "total": progress.total},
        **({} if end is None else _said_of_end(folder, job, end, store)),
    }


def _said_of_end(folder: JobFolder, job: Job, end: End, store: Store) -> dict[str, Any]:
    said: dict[str, Any] = {"ended": _iso(end.at), "expires": _iso(store.expires(end)), "error": end.error}
    if end.error is None:
        said["result"] = {
            "file": job.output,
            "bytes": folder.result.stat().st_size,
            "left": asdict(end.left),
            "doubtful": asdict(end.doubtful),
            "notes": end.notes,
        }
    return said


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
