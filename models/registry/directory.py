"""Versions in a directory: written beside their place, flushed to disk, renamed into it; changes are made under a lock.

    root/NAME/CURRENT            the version that a bare NAME means, as a decimal number
    root/NAME/.lock              held by whoever changes NAME; the system drops the lock of a process that dies
    root/NAME/.publishing-*      a version that is being written; its publisher holds a lock on the directory itself

A file system that several machines share must carry `flock` between them, as NFS 4 does.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models import checkpoint
from models.checkpoint import Manifest
from models.disk import sync
from models.names import NAME
from models.registry.layout import LEFTOVER_S, Admit, Choose, RegistryError, Removal, Seal, changed, current_of, doomed

_CURRENT = "CURRENT"
_SCRATCH = (".publishing-", ".current-", ".removing-")


class DirectoryStore:
    """A `layout.Store`."""

    def __init__(self, root: Path) -> None:
        self.root, self.where = root, str(root)

    def homes(self) -> tuple[str, ...]:
        if not self.root.is_dir():
            return ()
        return tuple(sorted(p.name for p in self.root.iterdir() if p.is_dir() and NAME.fullmatch(p.name)))

    def versions(self, name: str) -> tuple[int, ...]:
        home = self.root / name
        return tuple(number for number in self._numbers(name) if (home / str(number) / checkpoint.MANIFEST).is_file())

    def pointer(self, name: str) -> int | None:
        path = self.root / name / _CURRENT
        if not path.is_file():
            return None
        text = path.read_text(encoding="ascii", errors="replace").strip()
        if not text.isdecimal():
            raise RegistryError(f"{path} says {text!r}, expected a version")
        return int(text)

    def manifest(self, name: str, version: int) -> Manifest:
        return checkpoint.read_manifest(self.directory(name, version))

    def directory(self, name: str, version: int) -> Path:
        return self.root / name / str(version)

    def cached(self, name: str, version: int) -> Path | None:
        return None  # there is nothing nearer than the directory itself

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        home = self.root / name
        home.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".publishing-", dir=home))
        handle = os.open(scratch, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)  # as long as it is held, nobody takes this for a leftover
            yield scratch
        finally:
            os.close(handle)
            shutil.rmtree(scratch, ignore_errors=True)

    def publish(self, name: str, staged: Path, manifest: Manifest, admit: Admit, seal: Seal) -> int:
        for path in staged.iterdir():  # before the lock: gigabytes take their time
            path.chmod(0o644)
            sync(path)
        with self._lock(name):
            versions = self.versions(name)
            publication = admit(self.manifest(name, current_of(self, name)) if versions else None)
            version = max(self._numbers(name), default=0) + 1
            sealed = seal(staged, dataclasses.replace(manifest, version=version, publication=publication))
            for file in changed(manifest, sealed):
                (staged / file).chmod(0o644)
                sync(staged / file)
            (staged / checkpoint.MANIFEST).write_text(sealed.to_json(), encoding="utf-8")
            sync(staged / checkpoint.MANIFEST)
            staged.chmod(0o755)
            sync(staged)
            staged.rename(self.root / name / str(version))
            sync(self.root / name)
            self._set_current(name, version)
        return version

    def point(self, name: str, choose: Choose) -> int:
        with self._lock(name):
            chosen = choose(current_of(self, name), self.versions(name))
            self._set_current(name, chosen)
        return chosen

    def collect(self, name: str, keep: int, *, dry_run: bool, pinned: frozenset[int] = frozenset()) -> list[Removal]:
        home = self.root / name
        removed = []
        if not self.versions(name) and not any(path.name.startswith(_SCRATCH) for path in home.iterdir()):
            return []  # some other folder: not even a lock is left in it
        with self._lock(name):
            versions = self.versions(name)
            for version in doomed(versions, current_of(self, name), keep, pinned) if versions else ():
                path = home / str(version)
                removed.append(Removal(f"{name}@{version}", _size(path)))
                if not dry_run:
                    gone = Path(tempfile.mkdtemp(prefix=".removing-", dir=home)) / path.name
                    path.rename(gone)  # a version is whole or not there, also while its files are being removed
                    shutil.rmtree(gone.parent)
            for path in sorted(home.iterdir()):
                if path.name.startswith(_SCRATCH) and _abandoned(path):
                    removed.append(Removal(str(path), _size(path)))
                    if not dry_run and path.is_dir():
                        shutil.rmtree(path)
                    elif not dry_run:
                        path.unlink()
        return removed

    def _numbers(self, name: str) -> tuple[int, ...]:
        """That are taken, ascending."""
        home = self.root / name
        if not home.is_dir():
            return ()
        return tuple(sorted(int(path.name) for path in home.iterdir() if path.name.isdecimal()))

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """One at a time among all processes that change this name."""
        with (self.root / name / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _set_current(self, name: str, version: int) -> None:
        home = self.root / name
        handle, scratch = tempfile.mkstemp(prefix=".current-", dir=home)
        with os.fdopen(handle, "w") as file:
            file.write(f"{version}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(0o644)
        Path(scratch).replace(home / _CURRENT)
        sync(home)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _abandoned(path: Path) -> bool:
    """Nothing was written there for long, and nobody holds it."""
    newest = max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    if time.time() - newest < LEFTOVER_S:
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this file system locks no directories: its age has to do
        return True
    finally:
        os.close(handle)
    return True
