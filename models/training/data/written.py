"""Columns of a corpus that another model writes.

A target in the words of a larger model is sequence-level knowledge distillation (Kim and Rush 2016); a source that is
written from a text in the target language is back-translation (Sennrich, Haddow and Birch 2016). What is written goes
to disk as it comes, so that an interrupted preparation goes on. Knows nothing of models: somebody else writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from models.training.data.readers import DataError, Record
from models.training.data.spool import key_of
from models.training.sections import Corpus

# Texts and (source, target) languages -> their translations; "" where there is none that could be used.
Writer = Callable[[Sequence[str], tuple[str, str]], Sequence[str]]

_AT_A_TIME = 1024  # texts; what an interruption loses
_SECONDS = 30  # between lines that say how far the writing is


@dataclass(frozen=True)
class Writing:
    """Who writes, and where what is written is kept."""

    hire: Callable[[], AbstractContextManager[Writer]]  # called only when there is something to write
    folder: Path
    key: str  # equal for equal models and settings


def written(
    corpus: Corpus, stamp: object, records: Iterator[Record], writing: Writing | None, say: Callable[[str], None]
) -> Iterator[Record]:
    """The records with the written columns filled; one of which nothing could be written is left out.

    `stamp` tells one state of the corpus' file from another. Raises DataError where nobody is there to write.
    """
    for column, of in corpus.written.items():
        if writing is None:
            raise DataError(f"{corpus.name}: nobody is there to write column {column!r}")
        key = key_of([writing.key, corpus.file, corpus.format, corpus.columns, corpus.limit, stamp, column, of])
        records = _filled(corpus, records, (of, column), writing.folder / f"{key}.jsonl", writing, say)
    return records


def _filled(
    corpus: Corpus,
    records: Iterator[Record],
    direction: tuple[str, str],
    path: Path,
    writing: Writing,
    say: Callable[[str], None],
) -> Iterator[Record]:
    source, target = direction
    there = _read(path)
    earlier = list(islice(records, len(there)))
    yield from _with(earlier, target, there[: len(earlier)])
    chunk = list(islice(records, _AT_A_TIME))
    if not chunk:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    began = said = time.monotonic()
    count = 0
    with writing.hire() as write, path.open("a", encoding="utf-8") as file:
        while chunk:
            texts = write([record.values[source] for record in chunk], direction)
            file.write("".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts))
            file.flush()
            yield from _with(chunk, target, texts)
            count += len(chunk)
            if time.monotonic() - said > _SECONDS:
                said = time.monotonic()
                say(f"{corpus.name}: {count:,} texts so far, {count / (said - began):.0f} a second")
            chunk = list(islice(records, _AT_A_TIME))


def _with(records: Sequence[Record], column: str, texts: Sequence[str]) -> Iterator[Record]:
    for record, text in zip(records, texts, strict=True):
        if text:
            yield record._replace(values={**record.values, column: text})


def _read(path: Path) -> list[str]:
    """What was written before; a last line that an interruption cut off is taken away."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.decode().splitlines()]
