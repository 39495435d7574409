"""name@version on disk: publish atomically, resolve, list, roll back.

    root/NAME/1/{config.json, model.safetensors, tokenizer.json, manifest.json}
    root/NAME/2/...
    root/NAME/CURRENT        the version that a bare NAME means, as a decimal number

A version is written beside its place, flushed to disk and renamed into it, so that one that can be seen is whole; it
never changes afterwards. Several publishers may work at once: each gets a version of its own.

Knows nothing of how a checkpoint is made, or of who serves it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models import checkpoint
from models.checkpoint import Manifest

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_CURRENT = "CURRENT"


class RegistryError(Exception):
    """A name or version the registry does not have, or cannot take; the message says what there is."""


@dataclass(frozen=True)
class Entry:
    """One model of a registry."""

    name: str
    versions: tuple[int, ...]  # ascending
    current: int


class Registry:
    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def publish(self, name: str, source: Path | Callable[[Path], object]) -> int:
        """Add the next version of `name` and make it the current one; its number.

        `source` is a checkpoint directory to copy, or a function that writes one into the directory it is given. The
        manifest's name and version are set. Raises RegistryError for a bad name and CheckpointError for an unsound
        checkpoint; then nothing has changed.
        """
        if not _NAME.fullmatch(name):
            raise RegistryError(
                f"{name!r} is no model name: expected lower-case letters, digits, '.', '_' and '-', at most 63"
            )
        home = self.root / name
        home.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".publishing-", dir=home))
        try:
            if callable(source):
                source(scratch)
            else:
                checkpoint.verify(source)
                for file in (*checkpoint.FILES, checkpoint.MANIFEST):
                    shutil.copyfile(source / file, scratch / file)
            manifest = checkpoint.verify(scratch)
            with self._lock(name):
                version = self._move_into_place(scratch, dataclasses.replace(manifest, name=name))
                self._set_current(name, version)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return version

    def resolve(self, reference: str | Path) -> Path:
        """The directory of `name` (its current version), `name@3`, or of a path to a checkpoint directory."""
        if (Path(reference) / checkpoint.MANIFEST).is_file():
            return Path(reference)
        name, at, version = str(reference).partition("@")
        versions = self._versions(name) if _NAME.fullmatch(name) else ()
        if not versions:
            known = ", ".join(entry.name for entry in self.list()) or "nothing"
            raise RegistryError(
                f"no model {str(reference)!r}: {self.root} has {known}, and it is no checkpoint directory"
            )
        if not at:
            return self.root / name / str(self.current(name))
        if not version.isdecimal() or int(version) not in versions:
            raise RegistryError(f"no version {version!r} of {name!r}: there are {_numbers(versions)}")
        return self.root / name / str(int(version))

    def list(self) -> tuple[Entry, ...]:
        """Every model, by name."""
        if not self.root.is_dir():
            return ()
        names = sorted(path.name for path in self.root.iterdir() if path.is_dir() and _NAME.fullmatch(path.name))
        return tuple(Entry(name, versions, self.current(name)) for name in names if (versions := self._versions(name)))

    def current(self, name: str) -> int:
        """The version a bare name means; the newest where the pointer is missing."""
        versions = self._versions(name)
        if not versions:
            raise RegistryError(f"no model {name!r} in {self.root}")
        pointer = self.root / name / _CURRENT
        if not pointer.is_file():
            return versions[-1]
        text = pointer.read_text(encoding="ascii", errors="replace").strip()
        if not text.isdecimal() or int(text) not in versions:
            raise RegistryError(f"{pointer} says {text!r}, but there are {_numbers(versions)}")
        return int(text)

    def rollback(self, name: str, version: int | None = None) -> int:
        """Make `version`, or the one before the current one, the current one; its number."""
        self.current(name)  # raises for an unknown name, before a lock file is made for it
        with self._lock(name):
            now, versions = self.current(name), self._versions(name)
            chosen = max((v for v in versions if v < now), default=None) if version is None else version
            if chosen is None:
                raise RegistryError(f"no version of {name!r} before the current one: {now} of {_numbers(versions)}")
            if chosen not in versions:
                raise RegistryError(f"no version {chosen} of {name!r}: there are {_numbers(versions)}")
            self._set_current(name, chosen)
        return chosen

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """One at a time among all processes that change this name. The system drops the lock of one that dies."""
        with (self.root / name / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _versions(self, name: str) -> tuple[int, ...]:
        home = self.root / name
        if not home.is_dir():
            return ()
        return tuple(sorted(int(path.name) for path in home.iterdir() if path.name.isdecimal() and path.is_dir()))

    def _move_into_place(self, scratch: Path, manifest: Manifest) -> int:
        """Give the finished directory the next number. Under the lock: no other publisher can take the same one."""
        version = max(self._versions(manifest.name), default=0) + 1
        checkpoint.write_manifest(scratch, dataclasses.replace(manifest, version=version))
        scratch.chmod(0o755)
        for path in scratch.iterdir():
            path.chmod(0o644)
            _flush(path)
        _flush(scratch)
        scratch.rename(self.root / manifest.name / str(version))
        _flush(self.root / manifest.name)
        return version

    def _set_current(self, name: str, version: int) -> None:
        home = self.root / name
        handle, scratch = tempfile.mkstemp(prefix=".current-", dir=home)
        with os.fdopen(handle, "w") as file:
            file.write(f"{version}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(0o644)
        Path(scratch).replace(home / _CURRENT)
        _flush(home)


def _flush(path: Path) -> None:
    """To disk: a file's bytes, or a directory's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _numbers(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions))
