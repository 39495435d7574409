"""A look at a file that somebody has: its format, its columns, what they hold. What `triptych init` makes a recipe of.

Everything here is a guess by names and values, which the recipe then says in full. Knows nothing of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, permutations
from pathlib import Path

import regex

from models.training.data.headers import USUAL, columns_of, csv_rows, find, language_of, objects, tsv_rows
from models.training.data.packing import passages
from models.training.data.readers import SKIPPED, Broken, DataError, Record, open_parquet, read_rows
from models.training.sections import FORMATS, Corpus, Format

MOST_ROWS = 1_000_000  # that are looked at
_HEAD = 1000  # rows whose values tell which column is which
_LONGEST_NAME = 40  # characters; a longer cell is no column's name
_LINES = 200  # of a document of prose, on average
_FEW = 100  # values of a column of labels, unless its name says that it is one
_LANGUAGES = {
    "Hangul": "ko", "Han": "zh", "Cyrillic": "ru", "Greek": "el", "Arabic": "ar", "Hebrew": "he", "Thai": "th",
    "Devanagari": "hi",
}  # fmt: skip
_SCRIPTS = {script: regex.compile(rf"\p{{Script={script}}}") for script in _LANGUAGES}
_KANA = regex.compile(r"[\p{Script=Hiragana}\p{Script=Katakana}]")


@dataclass(frozen=True)
class Lengths:
    """Of the texts of a column, in UTF-8 bytes, which say more about tokens than characters do."""

    total: int
    median: int
    most: int  # 99 of 100 texts have no more

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Lengths:
        ordered = sorted(sizes)
        return cls(sum(ordered), ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)])

    def __str__(self) -> str:
        return f"texts of {self.median:,} bytes in the middle, 99 % of them of no more than {self.most:,}"


@dataclass(frozen=True)
class Look:
    path: Path
    corpus: Corpus
    rows: int  # that can be read, at most MOST_ROWS
    texts: dict[str, Lengths]  # by column
    labels: dict[str, int] = field(default_factory=dict)  # with their rows, the most frequent first
    documents: int = 0  # of plain text
    passages: int = 0  # that its texts give when they are packed
    broken: tuple[int, str] = (0, "")  # rows that cannot be read, and the first of them

    @property
    def is_prose(self) -> bool:
        """Plain text whose lines belong together, as blank lines among them say; a stray one does not."""
        return self.corpus.layout == "text" and self.documents > 1 and self.rows <= _LINES * self.documents

    @property
    def size(self) -> int:
        """UTF-8 bytes of all its texts."""
        return sum(lengths.total for lengths in self.texts.values())


@dataclass(frozen=True)
class Told:
    """What somebody says of a file that a look at it cannot tell."""

    languages: Sequence[str] = ()
    text: str = ""  # the file's name for the column of the texts
    label: str = ""


@dataclass(frozen=True)
class Table:
    """The head of a file, by position."""

    format: Format
    columns: tuple[str, ...]  # names; of a file without a header "1", "2", ...
    rows: list[tuple[str, ...]]
    header: bool

    def values(self, column: str) -> list[str]:
        return [row[self.columns.index(column)] for row in self.rows]


# What a task reads, and the file's name (or position) for it. Raises DataError.
FindColumns = Callable[[Path, Table, Told], dict[str, str]]


def look_at(path: Path, find_columns: FindColumns, told: Told = Told(), format: Format | None = None) -> Look:
    """Raises DataError, which says what to tell it."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    table = _table(path, format or _format(path))
    for name in (told.text, told.label):
        if name and name not in table.columns:
            raise DataError(f"{path}: no column {name!r}; there are {', '.join(table.columns)}")
    return _measured(path, _corpus(path, table, find_columns(path, table, told)))


def _format(path: Path) -> Format:
    if path.suffix in FORMATS:
        return FORMATS[path.suffix]
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = [line for line in islice(file, _HEAD) if line.strip()]
    cells = Counter(line.count("\t") for line in lines).most_common(1)
    if not cells or not cells[0][0] or cells[0][1] < 0.9 * len(lines):
        return "text"
    third = [line.split("\t")[2] for line in lines if line.count("\t") == 2]
    return "anki" if third and all(cell.startswith("CC-BY") for cell in third) else "tsv"


def _table(path: Path, format: Format) -> Table:
    if format in ("text", "nsmc", "anki"):
        columns = ("1", "2") if format == "anki" else columns_of(path, format)
        corpus = Corpus(file=path.name, columns=columns, format=format, limit=_HEAD, max_broken=MOST_ROWS)
        rows = [tuple(record.values[column] for column in columns) for record in read_rows(corpus, path.parent)]
        return Table(format, columns, rows, header=format == "nsmc")
    rows = [row for row in islice(_cells(path, format), _HEAD + 1) if row]
    if not rows:
        raise DataError(f"{path}: there is not one row in it")
    if format in ("jsonl", "parquet"):
        return Table(format, columns_of(path, format), rows, header=True)
    width = Counter(map(len, rows)).most_common(1)[0][0]
    first, alike = tuple(cell.strip() for cell in rows[0]), [row for row in rows if len(row) == width]
    if len(first) == width and _is_header(first, alike[1:], format):
        return Table(format, first, alike[1:], header=True)
    if len(first) != width and _names(first):
        raise DataError(
            f"{path}: the first row names {len(first)} columns ({', '.join(first)}), but most rows have {width} cells: "
            "name each of them, or quote those that hold the delimiter"
        )
    return Table(format, tuple(str(n + 1) for n in range(width)), alike, header=False)


def _cells(path: Path, format: Format) -> Iterator[tuple[str, ...]]:
    if format == "csv":
        return csv_rows(path)
    if format == "tsv":
        return tsv_rows(path)
    if format == "parquet":
        with open_parquet(path) as file:
            found: Iterable[Mapping[str, object]] = next((batch.to_pylist() for batch in file.iter_batches(_HEAD)), [])
    else:
        found = objects(path)
    columns = columns_of(path, format)
    return (tuple("" if values.get(name) is None else str(values[name]) for name in columns) for values in found)


def _names(cells: Sequence[str]) -> bool:
    """Whether one is what people call a column."""
    return bool(find(cells, ("text", "label", "pair"))) or any(map(language_of, cells))


def _is_header(first: Sequence[str], rows: Sequence[Sequence[str]], format: Format) -> bool:
    """A name that people give a column says so; else what stands below. A CSV file has one unless something speaks
    against it, a TSV file has none unless something speaks for it."""
    if len({*first}) < len(first) or any(_is_number(cell) or len(cell) > _LONGEST_NAME for cell in first):
        return False
    if _names(first):
        return True
    for number, cell in enumerate(first):
        below = [row[number].strip() for row in rows]
        if len({*below}) * 2 < len(below):
            return cell not in below  # a label would come again
        if below and all(map(_is_number, below)):
            return True
    return format == "csv"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def find_texts(path: Path, table: Table, told: Told, wanted: Sequence[str]) -> dict[str, str]:
    """`wanted`: text, pair, label. What has neither a usual name nor is told is found by its values."""
    found = {} if not table.header else find(table.columns, wanted)
    named = {"text": told.text, "label": told.label}
    found |= {column: name for column, name in named.items() if name and column in wanted}
    if "label" in wanted and "label" not in found:
        found["label"] = _fewest_values(path, table, found)
    if "text" not in found:
        others = [column for column in table.columns if column not in found.values()]
        if not others:
            raise DataError(f"{path}: no column is left for the texts beside {found}: say which with --text")
        found["text"] = max(others, key=lambda column: sum(map(len, table.values(column))))
    return found


def _fewest_values(path: Path, table: Table, found: Mapping[str, str]) -> str:
    counts = {
        column: len({*table.values(column)}) for column in table.columns if column not in found.values() and table.rows
    }
    few = {column: count for column, count in counts.items() if 2 <= count <= min(_FEW, len(table.rows) / 2)}
    if not few:
        has = ", ".join(f"{column} ({count:,} values)" for column, count in counts.items()) or "only texts"
        raise DataError(f"{path}: no column looks like labels: it has {has}. Say which with --label")
    return min(few, key=lambda column: few[column])


def find_languages(path: Path, table: Table, languages: Sequence[str]) -> dict[str, str]:
    """By the columns' names, by the script of what is in them, or in the order of `languages`."""
    if len(table.columns) < 2:
        raise DataError(f"{path}: translations need two columns, this file has {len(table.columns)}")
    if table.format == "anki":
        others = [language for language in languages if language != "en"]
        other = others[0] if others else _language_of_script(table.values("2"))
        if other is None:
            raise DataError(
                f"{path}: which language is beside English? Say so with --languages, such as --languages en,fr"
            )
        return {"en": "1", other: "2"}
    if languages:
        found = find(table.columns, languages) if table.header else {}
        if len(found) < len(languages):
            texts = [column for column in table.columns if not all(map(_is_number, table.values(column)))]
            if len(texts) < len(languages):
                raise DataError(f"{path}: {len(texts)} columns have text, --languages names {len(languages)}")
            found = dict(zip(languages, texts, strict=False))
        return found
    by_name = {column: language_of(column) for column in table.columns if table.header}
    by_script = {column: _language_of_script(table.values(column)) for column in table.columns}
    for speaks in (by_name, by_script):
        found = {language: column for column, language in reversed(speaks.items()) if language}
        if len(found) > 1:
            return dict(reversed(found.items()))
    looks = ", ".join(f"{column} ({language or 'unknown'})" for column, language in by_script.items())
    raise DataError(
        f"{path}: which languages are its columns? {looks}. Say so with --languages, such as --languages fr,en"
    )


def _language_of_script(texts: Sequence[str]) -> str | None:
    """Of letters that hardly another language has; Latin ones could be of a hundred."""
    letters = "".join(letter for text in texts for letter in text[:200] if letter.isalpha())
    if not letters:
        return None
    if len(_KANA.findall(letters)) > 0.1 * len(letters):  # with Chinese characters among them
        return "ja"
    counts = {script: len(pattern.findall(letters)) for script, pattern in _SCRIPTS.items()}
    script = max(counts, key=lambda script: counts[script])
    return _LANGUAGES[script] if counts[script] > 0.5 * len(letters) else None


def _corpus(path: Path, table: Table, chosen: Mapping[str, str]) -> Corpus:
    ours = {name: column for column, name in chosen.items()}
    if table.header:
        columns = tuple(chosen)
        names = {column: name for column, name in chosen.items() if column != name}
    else:
        columns = tuple(ours.get(column, SKIPPED) for column in table.columns)
        names = {}
    languages = [column for column in chosen if column not in USUAL]
    return Corpus(
        file=path.name,
        columns=columns,
        format=None if FORMATS.get(path.suffix) == table.format else table.format,
        names=names,
        header=table.header or table.format != "csv",
        directions=tuple(f"{one}-{other}" for one, other in permutations(languages, 2)),
    )


def _measured(path: Path, corpus: Corpus) -> Look:
    broken = Broken(corpus.model_copy(update={"max_broken": MOST_ROWS}))
    texts = [column for column in corpus.columns if column not in (SKIPPED, corpus.label_column)]
    sizes: dict[str, list[int]] = {column: [] for column in texts}
    labels = Counter[str]()
    rows = documents = 0

    def counted() -> Iterator[Record]:
        nonlocal rows, documents
        for record in islice(read_rows(corpus, path.parent, broken), MOST_ROWS):
            rows += 1
            documents = record.document + 1
            for column in texts:
                sizes[column].append(len(record.values[column].encode()))
            if corpus.has_labels and len(labels) <= _HEAD:
                labels[record.values[corpus.label_column].strip()] += 1
            yield record

    many = sum(1 for _ in (passages(corpus, counted()) if "text" in texts else counted()))
    plain = corpus.layout == "text"
    return Look(
        path=path,
        corpus=corpus.model_copy(update={"max_broken": max(corpus.max_broken, 2 * broken.count)}),
        rows=rows,
        texts={column: Lengths.of(each) for column, each in sizes.items()},
        labels=dict(labels.most_common()),
        documents=documents if plain else rows,
        passages=many,
        broken=(broken.count, broken.first[0] if broken.first else ""),
    )
