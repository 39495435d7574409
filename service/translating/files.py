"""Which files are translated, and where to. Names and folders alone; whatever reads and writes a file is atomic."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.documents.formats import FORMATS, ending
from service.translating.journal import SUFFIX

_NO_NAME = re.compile(r"[^\w -]|^$")


@dataclass(frozen=True, slots=True)
class Job:
    source: Path
    output: Path


@dataclass(frozen=True, slots=True)
class Planned:
    jobs: tuple[Job, ...]
    left_out: int  # files of folders that are of no format


def plan(paths: Sequence[Path], to: str | Path | None, languages: tuple[str, str], any_ending: bool = False) -> Planned:
    """Files get the target language before their ending, folders behind their name, unless `to` says where.

    It is a folder for several files, where there is one of its name, and where it ends with a slash. ValueError where a
    path is none, a file of no format (unless `any_ending`), or an output is a source or another's.
    """
    for language in languages:
        if _NO_NAME.search(language):
            raise ValueError(f"{language!r} is no language: it becomes part of a file's name")
    jobs: list[Job] = []
    left_out = 0
    output = None if to is None else Path(to)
    into = output is not None and (len(paths) > 1 or output.is_dir() or f"{to}".endswith("/"))
    for path in paths:
        if path.is_dir():
            root = _folder(path, output, len(paths) > 1, languages)
            for file in _files(path, without=root):
                if ending(file.name) in FORMATS:
                    place = root / file.relative_to(path)
                    jobs.append(Job(file, place.with_name(renamed(file.name, languages, always=False))))
                elif not file.name.endswith(SUFFIX):
                    left_out += 1
        elif not path.exists():
            raise ValueError(f"{path}: no such file or folder")
        elif not any_ending and ending(path.name) not in FORMATS:
            raise ValueError(f"{path}: of the endings that can be translated it has none: {', '.join(FORMATS)}")
        else:
            name = renamed(path.name, languages)
            place = path.with_name(name) if output is None else output / name if into else output
            jobs.append(Job(path, place))
    _check(jobs)
    return Planned(tuple(jobs), left_out)


def renamed(name: str, languages: tuple[str, str], always: bool = True) -> str:
    """`a.md` and `a.fr.md` are `a.en.md`; unless `always`, `a.md` is `a.md`."""
    source, target = languages
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem:
        stem, suffix = name, ""
    bare = stem.removesuffix(f".{source}")
    if not always and bare == stem:
        return name
    return f"{bare}.{target}" + (f".{suffix}" if suffix else "")


def write(path: Path, data: bytes) -> None:
    """All of it or nothing; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    overwrite(path, data)


def overwrite(path: Path, data: bytes) -> None:
    """All of it or nothing. FileNotFoundError where its folder is not there."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _folder(path: Path, output: Path | None, several: bool, languages: tuple[str, str]) -> Path:
    if output is None:
        whole = path if path.name not in ("", "..") else path.resolve()
        return whole.with_name(f"{whole.name.removesuffix(f'.{languages[0]}')}.{languages[1]}")
    return output / path.resolve().name if several else output


def _files(folder: Path, without: Path) -> Iterator[Path]:
    """In order, but for hidden ones and what lies in `without`."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.resolve() == without.resolve():
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path, without)
        elif path.is_file():
            yield path


def _check(jobs: Collection[Job]) -> None:
    sources = {job.source.resolve() for job in jobs}
    outputs: dict[Path, Path] = {}
    for job in jobs:
        place = job.output.resolve()
        if place in sources:
            raise ValueError(f"{job.output} is to be translated and to be written: --output names another place")
        if place in outputs:
            raise ValueError(f"{outputs[place]} and {job.source} would both be written to {job.output}")
        outputs[place] = job.source
