"""Glossaries that an operator keeps in files, by name: a source and its target on each line, with a tab between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from service.errors import InvalidRequest
from service.gateway.parsing import quoted

Entries = tuple[tuple[str, str], ...]


def read_glossaries(paths: Mapping[str, Path]) -> dict[str, Entries]:
    """Empty lines, and those that begin with `#`, say nothing. Raises ValueError for a file that is none."""
    return {name: _read(path) for name, path in paths.items()}


def named(glossaries: Mapping[str, Entries], name: str, parameter: str) -> Entries:
    """The glossary that a call's `parameter` names."""
    if name not in glossaries:
        available = sorted(glossaries)
        raise InvalidRequest(
            f"{parameter} is {quoted(name)}; available: {', '.join(available) or 'none'}",
            parameter=parameter,
            available=available,
        )
    return glossaries[name]


def used(entries: Iterable[tuple[str, str]], texts: Sequence[str]) -> Entries:
    """Those whose source is in one of the texts; the worker looks closely."""
    if not entries:
        return ()
    spoken = [_folded(text) for text in texts]
    return tuple((source, target) for source, target in entries if any(_folded(source) in text for text in spoken))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _read(path: Path) -> Entries:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the glossary {path} cannot be read: {error}") from None
    entries: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = [part.strip() for part in line.split("\t")]
        if len(words) != 2 or not all(words):
            raise ValueError(f"{path}, line {number} is {line[:80]!r}, expected a source, a tab and a target")
        source, target = words
        if entries.setdefault(source, target) != target:
            raise ValueError(f"{path}, line {number}: {source!r} is {target!r} and was {entries[source]!r} before")
    return tuple(entries.items())
