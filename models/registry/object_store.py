"""Versions in an object store, which has neither rename nor lock: whoever creates an object first has decided.

    root/NAME/3/.claim           created first, exclusively: the number is this publisher's
    root/NAME/3/*                the files, uploaded by the one who has the claim
    root/NAME/3/manifest.json    created last, exclusively: now the version exists
    root/NAME/.current/00000007  created exclusively by each change of the current version; the highest one counts

A publisher that dies leaves a number without manifest.json, which no reader sees. Garbage collection creates that
manifest.json as a tombstone before it removes anything: if the publisher still lives, exactly one of the two succeeds.
A tombstone stays, so that no number is given twice. The chain of .current is a compare-and-set: who wants to follow
entry 6 creates entry 7, and only one can; the other looks again. A directory that was copied to the store as it is,
with its CURRENT, is a registry, too.

All of it rests on the store's listing what was written before, which S3, GCS and Azure promise.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from models import checkpoint
from models.checkpoint import MANIFEST, Manifest
from models.names import NAME
from models.registry.cache import Cache, default_cache
from models.registry.layout import (
    LEFTOVER_S,
    Admit,
    Choose,
    RegistryError,
    Removal,
    Seal,
    Unreachable,
    changed,
    current_of,
    doomed,
)
from models.registry.objects import Objects

_CLAIM, _CHAIN, _CURRENT = ".claim", ".current", "CURRENT"
_TOMBSTONE = b"removed\n"  # shorter than any manifest: a listing tells them apart


@dataclass(frozen=True)
class _Home:
    """What lies below a name, from one listing."""

    numbers: dict[int, dict[str, int]]  # sizes of the files by number
    chain: int  # the highest entry of .current; 0: none
    pointed: bool  # there is a CURRENT, from a directory

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(sorted(n for n, files in self.numbers.items() if files.get(MANIFEST, 0) > len(_TOMBSTONE)))


class ObjectStore:
    """A `layout.Store`."""

    def __init__(self, url: str, cache: Cache | None = None) -> None:
        """Raises RegistryError where nothing installed can open the URL."""
        self._objects, self.where = Objects(url), url
        self._cache = cache or Cache(default_cache())

    def homes(self) -> tuple[str, ...]:
        return tuple(name for name in self._objects.names() if NAME.fullmatch(name))

    def versions(self, name: str) -> tuple[int, ...]:
        return self._look(name).versions

    def pointer(self, name: str) -> int | None:
        return self._pointer(name, self._look(name))

    def manifest(self, name: str, version: int) -> Manifest:
        return checkpoint.parse_manifest(self._manifest(name, version), Path(f"{name}@{version}"))

    def directory(self, name: str, version: int) -> Path:
        def download(file: str, path: Path) -> None:
            self._objects.download(f"{name}/{version}/{file}", path)

        return self._cache.fetch(self._objects.url, name, version, self._manifest(name, version), download)

    def cached(self, name: str, version: int) -> Path | None:
        return self._cache.find(self._objects.url, name, version)

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
            yield Path(scratch)

    def publish(self, name: str, staged: Path, manifest: Manifest, admit: Admit, seal: Seal) -> int:
        self._objects.check_protocol()
        number = self._claim(name)
        place = f"{name}/{number}"
        committed = False
        try:
            for file in manifest.files:
                self._objects.upload(staged / file, f"{place}/{file}")
            while True:
                home = self._look(name)
                publication = admit(self._current(name, home))
                if not committed:
                    new = seal(staged, dataclasses.replace(manifest, version=number, publication=publication))
                    for file in changed(manifest, new):
                        self._objects.upload(staged / file, f"{place}/{file}")
                    self._check_upload(name, number, new)
                    if not self._objects.create(f"{place}/{MANIFEST}", new.to_json().encode()):
                        raise RegistryError(f"{place} was taken for a leftover and collected: publish again")
                    committed = True
                if self._append(name, home.chain, number):
                    return number
        except BaseException as error:
            if committed and isinstance(error, Unreachable):  # nobody knows whether it is current: it stays
                raise Unreachable(f"{name}@{number} is published, but perhaps not current: {error}") from error
            if not committed or isinstance(error, Exception):
                with suppress(RegistryError):
                    self._bury(name, number, [*manifest.files, _CLAIM])
            raise

    def point(self, name: str, choose: Choose) -> int:
        self._objects.check_protocol()
        while True:
            home = self._look(name)
            now = current_of(self, name)
            chosen = choose(now, home.versions)
            if not self._append(name, home.chain, chosen):
                continue
            if chosen in self._look(name).versions:
                return chosen
            self._append(name, home.chain + 1, now)
            raise RegistryError(f"{name}@{chosen} was removed in this moment; {name}@{now} is current again")

    def collect(self, name: str, keep: int, *, dry_run: bool, pinned: frozenset[int] = frozenset()) -> list[Removal]:
        self._objects.check_protocol()
        home = self._look(name)
        versions = home.versions
        removed = []
        for version in doomed(versions, current_of(self, name), keep, pinned) if versions else ():
            if dry_run or self._remove(name, version, home.numbers[version]):
                removed.append(Removal(f"{name}@{version}", sum(home.numbers[version].values())))
        for number, files in sorted(home.numbers.items()):
            left = {file: size for file, size in files.items() if file != MANIFEST}
            if number in versions or not left or not self._abandoned(name, number, files):
                continue
            if dry_run or self._objects.create(f"{name}/{number}/{MANIFEST}", _TOMBSTONE):
                removed.append(Removal(f"{self.where}/{name}/{number}", sum(left.values())))
                if not dry_run:
                    self._objects.delete(f"{name}/{number}/{file}" for file in left)
        return removed

    def _abandoned(self, name: str, number: int, files: Iterable[str]) -> bool:
        try:
            return min(self._objects.age(f"{name}/{number}/{file}") for file in files) > LEFTOVER_S
        except Unreachable:
            raise
        except RegistryError:  # a file is gone since the listing: its publisher lives
            return False

    def _look(self, name: str) -> _Home:
        numbers: dict[int, dict[str, int]] = {}
        chain, pointed = 0, False
        for key, size in self._objects.list(name).items():
            folder, _, file = key.partition("/")
            if folder.isdecimal() and file:
                numbers.setdefault(int(folder), {})[file] = size
            elif folder == _CHAIN and file.isdecimal():
                chain = max(chain, int(file))
            elif key == _CURRENT:
                pointed = True
        return _Home(numbers, chain, pointed)

    def _pointer(self, name: str, home: _Home) -> int | None:
        if home.chain:
            key = _entry(name, home.chain)
            content = self._objects.read(key)
            try:
                return int(json.loads(content)["version"])
            except (ValueError, TypeError, KeyError) as error:
                raise RegistryError(f"{self.where}/{key} says {content[:80]!r}, expected a version") from error
        if not home.pointed:
            return None
        text = self._objects.read(f"{name}/{_CURRENT}").decode(errors="replace").strip()
        if not text.isdecimal():
            raise RegistryError(f"{self.where}/{name}/{_CURRENT} says {text!r}, expected a version")
        return int(text)

    def _current(self, name: str, home: _Home) -> Manifest | None:
        """Of the version that is current as of this listing; None before the first one."""
        version = self._pointer(name, home) or max(home.versions, default=None)
        return None if version is None else self.manifest(name, version)

    def _manifest(self, name: str, version: int) -> bytes:
        content = self._objects.read(f"{name}/{version}/{MANIFEST}")
        if content == _TOMBSTONE:
            raise RegistryError(f"{name}@{version} was removed from {self.where}")
        return content

    def _claim(self, name: str) -> int:
        """A number that is this publisher's alone."""
        token = uuid.uuid4().hex.encode()
        number = max(self._look(name).numbers, default=0)
        while True:
            number += 1
            key = f"{name}/{number}/{_CLAIM}"
            if not self._objects.create(key, token):
                continue
            try:
                self._objects.check_exclusive(key)
            except RegistryError:
                self._objects.delete([key])
                raise
            if MANIFEST not in self._look(name).numbers[number]:
                return number
            self._objects.delete([key])  # taken and removed since the listing

    def _check_upload(self, name: str, number: int, manifest: Manifest) -> None:
        found = self._look(name).numbers.get(number, {})
        for file, facts in manifest.files.items():
            if found.get(file) != facts["bytes"]:
                raise RegistryError(
                    f"{self.where}/{name}/{number}/{file} has {found.get(file, 0)} bytes after the upload, "
                    f"expected {facts['bytes']}"
                )

    def _append(self, name: str, position: int, version: int) -> bool:
        """Make `version` current, if entry `position` of the chain is still the last one."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry = {"version": version, "at": at, "token": uuid.uuid4().hex}
        return self._objects.create(_entry(name, position + 1), json.dumps(entry).encode())

    def _remove(self, name: str, version: int, files: dict[str, int]) -> bool:
        """False where it has become current in this moment: then it stays as it was."""
        key = f"{name}/{version}/{MANIFEST}"
        before = self._objects.read(key)
        self._objects.write(key, _TOMBSTONE)
        if self.pointer(name) == version:
            self._objects.write(key, before)
            return False
        self._objects.delete(f"{name}/{version}/{file}" for file in files if file != MANIFEST)
        return True

    def _bury(self, name: str, number: int, files: list[str]) -> None:
        """Take back what this publisher uploaded."""
        self._objects.write(f"{name}/{number}/{MANIFEST}", _TOMBSTONE)
        self._objects.delete(f"{name}/{number}/{file}" for file in files)


def _entry(name: str, position: int) -> str:
    return f"{name}/{_CHAIN}/{position:08d}"
