"""Local copies of what object stores hold, by hash: what is there is what was asked for, and equal files are kept once.

    cache/checkpoints/HASH/        a version whose manifest.json has that SHA-256, whole
    cache/files/HASH               its files; those in checkpoints/ are links to them
    cache/versions/URL/NAME@3      HASH, to find it again while the store does not answer; URL is a hash, too

Everything can be deleted at any time. Nothing is deleted by itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models import checkpoint
from models.checkpoint import CheckpointError, Manifest
from models.registry.layout import RegistryError

VARIABLE = "TRIPTYCH_CACHE"


def default_cache() -> Path:
    return Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "triptych")


class Cache:
    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, url: str, name: str, version: int) -> Path | None:
        """A version that was fetched before."""
        note = self._note(url, name, version)
        directory = self.root / "checkpoints" / note.read_text().strip() if note.is_file() else None
        return directory if directory is not None and _is_whole(directory) else None

    def fetch(
        self, url: str, name: str, version: int, manifest: bytes, download: Callable[[str, Path], object]
    ) -> Path:
        """The directory of a version, whose files `download` brings where they are not here yet.

        Any number of processes may ask at once: one downloads. Raises RegistryError where a file is not the one that
        the manifest describes, or where the cache cannot be written.
        """
        key = hashlib.sha256(manifest).hexdigest()
        directory = self.root / "checkpoints" / key
        parsed = checkpoint.parse_manifest(manifest, Path(f"{name}@{version}"))
        try:
            if not _is_whole(directory):
                with self._lock(key):
                    if not _is_whole(directory):  # another process may have been here first
                        self._fill(directory, parsed, manifest, download)
            self._remember(url, name, version, key)
        except OSError as error:
            raise RegistryError(
                f"the cache {self.root} cannot be written: {error}; {VARIABLE} names another one"
            ) from error
        return directory

    def _fill(
        self, directory: Path, parsed: Manifest, manifest: bytes, download: Callable[[str, Path], object]
    ) -> None:
        partial = directory.with_name(f".{directory.name}.partial")  # a process that died here may have left one
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for file, facts in parsed.files.items():
            shared = self.root / "files" / facts["sha256"]
            shared.parent.mkdir(parents=True, exist_ok=True)
            if not shared.is_file() or checkpoint.sha256_of(shared) != facts["sha256"]:
                download(file, partial / file)
                found = checkpoint.sha256_of(partial / file)
                if found != facts["sha256"]:
                    raise RegistryError(
                        f"{parsed.name}@{parsed.version}: {file} has the SHA-256 {found} after the download, "
                        f"the manifest says {facts['sha256']}"
                    )
                (partial / file).replace(shared)
            _link(shared, partial / file)
        (partial / checkpoint.MANIFEST).write_bytes(manifest)
        shutil.rmtree(directory, ignore_errors=True)  # damaged, or it would not be filled
        partial.rename(directory)

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        path = self.root / "checkpoints" / f".{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _note(self, url: str, name: str, version: int) -> Path:
        return self.root / "versions" / hashlib.sha256(url.encode()).hexdigest()[:16] / f"{name}@{version}"

    def _remember(self, url: str, name: str, version: int, key: str) -> None:
        note = self._note(url, name, version)
        if note.is_file() and note.read_text() == key:
            return
        note.parent.mkdir(parents=True, exist_ok=True)
        scratch = note.with_name(f".{note.name}.{os.getpid()}.{threading.get_native_id()}")
        scratch.write_text(key)
        scratch.replace(note)


def _is_whole(directory: Path) -> bool:
    """All files have their sizes; whether they have their hashes is checked whenever a checkpoint is loaded."""
    try:
        files = checkpoint.read_manifest(directory).files
    except CheckpointError:
        return False
    return all(
        (directory / file).is_file() and (directory / file).stat().st_size == facts["bytes"]
        for file, facts in files.items()
    )


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links, or with too many to this file
        shutil.copyfile(source, target)
