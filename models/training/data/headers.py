"""Which columns a file has, and which of them is meant, by what people call them. What rows mean is not looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

from models.training.data.delimited import delimiter_of, read_cells
from models.training.data.readers import DataError, open_parquet
from models.training.sections import Format

_OWN_COLUMNS: dict[Format, tuple[str, ...]] = {"text": ("text",), "nsmc": ("text", "label")}
_HEAD = 100  # objects of JSON Lines whose names are looked at
# What a task reads -> what its column is called, the likeliest first.
USUAL: dict[str, tuple[str, ...]] = {
    "text": (
        "text", "texts", "review", "sentence", "comment", "content", "document", "body", "message", "utterance",
        "tweet", "post", "question", "query", "description", "text1", "text_a", "sentence1", "premise", "input",
        "prompt", "title",
    ),
    "pair": ("pair", "text_pair", "text2", "text_b", "sentence2", "hypothesis"),
    "label": (
        "label", "labels", "sentiment", "class", "category", "intent", "rating", "stars", "topic", "emotion",
        "polarity", "tag", "score", "target", "y",
    ),
}  # fmt: skip
LANGUAGES = {
    "ar": "arabic", "bg": "bulgarian", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german",
    "el": "greek", "en": "english", "es": "spanish", "et": "estonian", "fa": "persian", "fi": "finnish",
    "fr": "french", "he": "hebrew", "hi": "hindi", "hr": "croatian", "hu": "hungarian", "id": "indonesian",
    "it": "italian", "ja": "japanese", "ko": "korean", "lt": "lithuanian", "lv": "latvian", "nl": "dutch",
    "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sk": "slovak",
    "sl": "slovenian", "sr": "serbian", "sv": "swedish", "th": "thai", "tr": "turkish", "uk": "ukrainian",
    "vi": "vietnamese", "zh": "chinese",
}  # fmt: skip


def columns_of(path: Path, format: Format) -> tuple[str, ...]:
    """The names of a file's columns; () where the format has none. A TSV file's are the cells of its first line, which
    may be no header. Raises DataError."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if format == "csv":
        return tuple(cell.strip() for cell in next(csv_rows(path), ()))
    if format == "tsv":
        return next(tsv_rows(path), ("",))
    if format == "jsonl":
        return tuple(dict.fromkeys(name for values in objects(path, _HEAD) for name in values))
    if format == "parquet":
        with open_parquet(path) as file:
            return tuple(file.schema_arrow.names)
    return _OWN_COLUMNS.get(format, ())


def csv_rows(path: Path) -> Iterator[tuple[str, ...]]:
    """Those that can be read. Raises DataError."""
    delimiter = delimiter_of(path, str(path))
    return (tuple(cells) for _, cells in read_cells(path, delimiter) if isinstance(cells, list))


def tsv_rows(path: Path) -> Iterator[tuple[str, ...]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        yield from (tuple(line.rstrip("\r\n").split("\t")) for line in file)


def objects(path: Path, lines: int | None = None) -> Iterator[dict[str, Any]]:
    """Those of JSON Lines that can be read, of all lines or of the first `lines`."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        for line in islice(file, lines):
            with suppress(ValueError, RecursionError):
                if isinstance(values := json.loads(line), dict):
                    yield values


def find(
    columns: Sequence[str], wanted: Iterable[str], known: Mapping[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """What of `wanted` the columns have, each with the file's name for it; no column serves twice.

    `known` are names that come before the usual ones. A language is called by its code (`fr`, `fr_FR`), its English
    name, or either with more around it (`text_fr`).
    """
    found: dict[str, str] = {}
    for name in wanted:
        free = [column for column in columns if column not in found.values()]
        if (column := _called(name, free, (known or {}).get(name, ()))) is not None:
            found[name] = column
    return found


def _called(name: str, columns: Sequence[str], known: Sequence[str]) -> str | None:
    names = (*known, name, *USUAL.get(name, ()), *([LANGUAGES[name]] if name in LANGUAGES else []))
    exact = (candidate for candidate in names if candidate in columns)
    folded = {column.casefold(): column for column in reversed(columns)}
    alike = (folded[candidate.casefold()] for candidate in names if candidate.casefold() in folded)
    spoken_of = (column for column in columns if language_of(column) == name)
    return next(chain(exact, alike, spoken_of), None)


def language_of(column: str) -> str | None:
    """Which language a column's name speaks of, if of one; `id` and `no` are numbers."""
    words = [word for word in re.split(r"[^a-z]+", column.casefold()) if word not in ("", "id", "no")]
    if not words:
        return None
    codes = {word for word in (words[0], words[-1]) if word in LANGUAGES and len(words) <= 3}
    codes |= {code for code, name in LANGUAGES.items() if name in words}
    if len(words) == 2 and words[0] in LANGUAGES and len(words[1]) == 2:  # a country behind it: fr_FR, pt-BR
        return words[0]
    return codes.pop() if len(codes) == 1 else None
