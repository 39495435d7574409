"""What every registry shares: what a version is, and what a store of versions can do.

    root/NAME/1/{config.json, model.safetensors, tokenizer.json, manifest.json}
    root/NAME/2/...

A version that can be seen is whole, and it never changes; its number is never given to another one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from models.checkpoint import Manifest

LEFTOVER_S = 3600.0  # what an unfinished publication left is garbage once nothing was written to it for so long

# Given the manifest of the current version, if any, what the new one's `publication` is to say. Raises to refuse.
Admit = Callable[[Manifest | None], dict[str, Any]]
# Given the directory of the files and the manifest with version and publication, may write a file anew that tells of
# them; the manifest with its hash.
Seal = Callable[[Path, Manifest], Manifest]
# Given the current version and all versions, which is to be current. Raises RegistryError.
Choose = Callable[[int, tuple[int, ...]], int]


class RegistryError(Exception):
    """A name or version the registry does not have, or cannot take; the message says what there is."""


class Unreachable(RegistryError):
    """The store does not answer; what is cached may do."""


@dataclass(frozen=True)
class Entry:
    """One model of a registry."""

    name: str
    versions: tuple[int, ...]  # ascending
    current: int  # 0: what says so cannot be read
    problem: str = ""  # why not


@dataclass(frozen=True)
class Removal:
    """What garbage collection removes."""

    what: str  # NAME@VERSION, or the path of what a publisher left
    size: int  # bytes


class Store(Protocol):
    """Where versions lie. Names are valid ones; versions that are asked for were seen."""

    where: str  # as messages call it

    def homes(self) -> tuple[str, ...]:
        """Of all models that have a version, and those of which there are leftovers only; sorted."""

    def versions(self, name: str) -> tuple[int, ...]:
        """Ascending."""

    def pointer(self, name: str) -> int | None:
        """The version that was made current last; None where none was."""

    def manifest(self, name: str, version: int) -> Manifest: ...

    def directory(self, name: str, version: int) -> Path:
        """A local directory that holds the version."""

    def cached(self, name: str, version: int) -> Path | None:
        """A local copy that was made before, without asking the store."""

    def staging(self, name: str) -> AbstractContextManager[Path]:
        """An empty local directory for a checkpoint to be published; it is gone afterwards."""

    def publish(self, name: str, staged: Path, manifest: Manifest, admit: Admit, seal: Seal) -> int:
        """Give the checkpoint the next number and make it current, if `admit` lets it in beside the current one.

        `manifest` is that of the staged files but for its version and publication, which are set here; then `seal` is
        asked once.
        """

    def point(self, name: str, choose: Choose) -> int: ...

    def collect(self, name: str, keep: int, *, dry_run: bool, pinned: frozenset[int] = frozenset()) -> list[Removal]:
        """Remove all versions but the current, the `keep` newest and the pinned ones, and what dead publishers left."""


def current_of(store: Store, name: str) -> int:
    """The version a bare name means; the newest where none was made current. Raises RegistryError."""
    for _ in range(3):  # between the two looks another one may have become current, and the old one been removed
        pointer = store.pointer(name)
        versions = store.versions(name)
        if not versions:
            raise RegistryError(f"no model {name!r} in {store.where}")
        if pointer is None:
            return versions[-1]
        if pointer in versions:
            return pointer
    raise RegistryError(f"CURRENT of {name!r} in {store.where} says '{pointer}', but there are {numbers(versions)}")


def changed(before: Manifest, after: Manifest) -> list[str]:
    """The files that `after` describes otherwise."""
    return [file for file, facts in after.files.items() if facts != before.files.get(file)]


def doomed(versions: tuple[int, ...], current: int, keep: int, pinned: frozenset[int]) -> list[int]:
    """What garbage collection removes. The newest is always kept: the next number is counted from it."""
    return [version for version in versions[:-keep] if version != current and version not in pinned]


def numbers(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions))
