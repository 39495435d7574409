"""What a run prepares once and reads many times, on disk: folders that are whole or not there, and rows in them.

Knows nothing of what the rows mean.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from models.disk import move_into_place
from models.training.data.rows import Passage, TextRow

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def key_of(value: Any) -> str:
    """16 hexadecimal digits; equal for values that are equal as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def prepared(directory: Path, kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder `directory`/`kind`-`key`, filled by `build` unless it is there; those of other keys are removed.

    Built beside, synced and renamed: an interrupted one is never taken for a whole one. Of several processes that ask
    at once, one builds and the others wait.
    """
    final = directory / f"{kind}-{key}"
    if final.is_dir():
        return final
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f".{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.is_dir():
            scratch = directory / f".{kind}.unfinished"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                build(scratch)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
            move_into_place(scratch, final)
            for stale in directory.glob(f"{kind}-*"):
                if stale != final:
                    shutil.rmtree(stale)
    return final


def write_rows(file: TextIO, rows: Iterable[TextRow]) -> None:
    """As one line of JSON each: the fields of a row, in order."""
    file.writelines(_encode([getattr(row, name) for name in TextRow.__slots__]) + "\n" for row in rows)


def spooled_rows(file: TextIO) -> Iterator[TextRow]:
    for line in file:
        values = json.loads(line)
        if values[-1] is not None:
            values[-1] = Passage(*values[-1])
        yield TextRow(*values)


class Spool:
    """Rows in a file; can be iterated many times. A row that is repeated follows itself.

    `parts`: (rows, times each is repeated), in the file's order. `key` is the same for the same rows.
    """

    def __init__(self, path: Path, parts: Sequence[tuple[int, int]], key: str) -> None:
        self._path, self._parts, self.key = path, tuple(parts), key

    def __len__(self) -> int:
        return sum(rows * repeat for rows, repeat in self._parts)

    def __iter__(self) -> Iterator[TextRow]:
        with self._path.open(encoding="utf-8") as file:
            rows = spooled_rows(file)
            for count, repeat in self._parts:
                for row in islice(rows, count):
                    for _ in range(repeat):
                        yield row
