"""From files to rows of texts by column: CSV, TSV, JSON Lines, Parquet, plain text, well-known layouts as they come.

Everything streams. A row that cannot be read is left out, counted and, up to a limit, only reported; what is wrong
with a file as a whole (missing, other columns, other layout) ends the reading at once. Knows nothing of tasks.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from models.training.data.delimited import DataError, delimiter_of, read_cells
from models.training.sections import Corpus

SHIPPED = Path(__file__).parents[1] / "recipes"
SKIPPED = "_"  # the name of columns that nobody reads; they may be empty
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN = 5  # broken rows that are kept for the report


class Record(NamedTuple):
    """A row of a file and where it stands."""

    values: dict[str, str]  # by column
    line: int  # from 1; of Parquet the row in its row group, from 0
    group: int | None = None  # Parquet's row group, from 0
    document: int = 0  # of plain text: the gaps of blank lines before it


def place(name: str, line: int, group: int | None = None) -> str:
    """As messages name a row."""
    return f"{name}:{line}" if group is None else f"{name}: row group {group}, row {line}"


class Broken:
    """The rows of a corpus that cannot be read. More than its `max_broken` raise DataError."""

    def __init__(self, corpus: Corpus) -> None:
        self._name, self._limit = corpus.name, corpus.max_broken
        self.count = 0
        self.first: list[str] = []  # "FILE:LINE: reason"

    def add(self, reason: str, line: int, group: int | None = None, file: str = "") -> None:
        """`file`: which one of a corpus of several."""
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(f"{place(file or self._name, line, group)}: {reason}")
        if self.count > self._limit:
            raise DataError(
                f"{self._name}: {self.count} rows so far cannot be read, at most {self._limit} are left out "
                f"(max_broken). {self.examples}"
            )

    @property
    def examples(self) -> str:
        return f"The first: {'; '.join(self.first)}" if self.first else ""


def path_of(data: Path, name: str) -> Path:
    """Of a recipe's file: in the data folder, or else one that comes with the shipped recipes."""
    beside = SHIPPED / name
    return beside if not (data / name).exists() and beside.is_file() else data / name


def paths_of(corpus: Corpus, data: Path) -> list[Path]:
    """Of its file, or of its files in the order in which the recipe names them."""
    return [path_of(data, name) for name in corpus.files.values() or (corpus.file,)]


def found_paths(corpus: Corpus, data: Path) -> list[Path]:
    """As `paths_of`. Raises DataError where one is not there."""
    paths = paths_of(corpus, data)
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: no such file; the recipe's files are relative to the data folder")
    return paths


def read_rows(corpus: Corpus, data: Path, broken: Broken | None = None) -> Iterator[Record]:
    """Rows in the file's order, every column filled, at most the corpus' limit of them.

    Raises DataError; `broken` counts the rows that are left out.
    """
    broken = Broken(corpus) if broken is None else broken
    paths = found_paths(corpus, data)
    all_records = _aligned(corpus, paths, broken) if corpus.files else _of_file(corpus, paths[0], broken)
    records = itertools.islice(all_records, corpus.limit)
    first = next(records, None)
    if first is None:
        raise DataError(f"{corpus.name}: not one row that can be read. {broken.examples}".strip())
    yield first
    yield from records


def _of_file(corpus: Corpus, path: Path, broken: Broken) -> Iterator[Record]:
    """Its columns are read under the names that the file has for them."""
    read = _READERS[corpus.layout]
    if not corpus.names:
        return read(corpus, path, broken)
    columns = tuple(map(corpus.called, corpus.columns))
    ours = dict(zip(columns, corpus.columns, strict=True))
    named = read(corpus.model_copy(update={"columns": columns}), path, broken)
    return (record._replace(values={ours.get(n, n): value for n, value in record.values.items()}) for record in named)


def _lines(path: Path, broken: Broken) -> Iterator[tuple[int, str]]:
    """Numbered from 1, without line ends. Only a line feed ends a line: others may stand in a text."""
    with path.open("rb") as file:
        _skip_byte_order_mark(file)
        for number, line in enumerate(file, start=1):
            try:
                yield number, line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                broken.add(f"not UTF-8 at byte {error.start}", number)


def _skip_byte_order_mark(file: BinaryIO) -> None:
    if file.read(3) != codecs.BOM_UTF8:
        file.seek(0)


def _record(columns: Sequence[str], values: Sequence[str], line: int, broken: Broken) -> Record | None:
    """None, and counted, when a column that is read is empty."""
    if not all(map(str.strip, values)):
        for name, value in zip(columns, values, strict=True):
            if name != SKIPPED and not value.strip():
                broken.add(f"column {name} is empty", line)
                return None
    return Record(dict(zip(columns, values, strict=True)), line)


def _tsv(corpus: Corpus, path: Path, broken: Broken) -> Iterator[Record]:
    """A first line with the names of all columns is a header: then they are found by name, in any order."""
    columns: tuple[str, ...] = corpus.columns
    for number, line in _lines(path, broken):
        cells = line.split("\t")
        if number == 1 and {*columns} - {SKIPPED} <= {*cells}:
            columns = tuple(cell if cell in columns else SKIPPED for cell in cells)
        elif len(cells) != len(columns):
            broken.add(f"{_count(cells)}, expected {len(columns)}: {', '.join(columns)}", number)
        elif record := _record(columns, cells, number, broken):
            yield record


def _csv(corpus: Corpus, path: Path, broken: Broken) -> Iterator[Record]:
    """Cells with quotes; the first row is a header unless the recipe says that there is none."""
    columns: tuple[str, ...] = corpus.columns
    expects_header = corpus.header
    wanted = {*columns} - {SKIPPED} if expects_header else columns
    delimiter = corpus.delimiter or delimiter_of(path, corpus.name, wanted, header=expects_header)
    for line, cells in read_cells(path, delimiter):
        if isinstance(cells, str):
            if expects_header:
                raise DataError(f"{corpus.name}:{line}: the header cannot be read: {cells}")
            broken.add(cells, line)
        elif expects_header:
            columns = _header(corpus, [cell.strip() for cell in cells], line)
            expects_header = False
        elif len(cells) != len(columns):
            broken.add(f"{_count(cells)}, expected {len(columns)}", line)
        elif record := _record(columns, cells, line, broken):
            yield record


def _header(corpus: Corpus, cells: list[str], line: int) -> tuple[str, ...]:
    for name in corpus.columns:
        if name != SKIPPED and cells.count(name) != 1:
            many = f"{cells.count(name)} columns" if name in cells else "no column"
            raise DataError(
                f"{corpus.name}:{line}: {many} {name!r} in the header, which has {', '.join(cells)[:200]}: say what "
                f"the file calls it (names: {{{name}: ...}}), or header: false"
            )
    return tuple(cell if cell in corpus.columns else SKIPPED for cell in cells)


def _count(cells: Sequence[str]) -> str:
    return "1 column" if len(cells) == 1 else f"{len(cells)} columns"


def _anki(corpus: Corpus, path: Path, broken: Broken) -> Iterator[Record]:
    """Of manythings.org/anki: English, the other language, and since 2019 an attribution."""
    if len(corpus.columns) != 2:
        raise DataError(
            f"{corpus.name}: the anki layout has two columns, such as [en, fr], the recipe names "
            f"{len(corpus.columns)}: {', '.join(corpus.columns)}"
        )
    for number, line in _lines(path, broken):
        cells = line.split("\t")
        if len(cells) not in (2, 3):
            broken.add(f"{_count(cells)}, expected {', '.join(corpus.columns)} and perhaps an attribution", number)
        elif record := _record(corpus.columns, cells[:2], number, broken):
            yield record


def _nsmc(corpus: Corpus, path: Path, broken: Broken) -> Iterator[Record]:
    """Of e9t/nsmc, ratings*.txt: a header, then id, review (column `text`) and label."""
    columns = ("id", "text", "label")
    unknown = [name for name in corpus.columns if name not in columns]
    if unknown:
        raise DataError(f"{corpus.name}: the nsmc layout has the columns {', '.join(columns)}, not {unknown[0]!r}")
    for number, line in _lines(path, broken):
        cells = line.split("\t")
        if number == 1:
            if cells != ["id", "document", "label"]:
                raise DataError(f"{corpus.name}:1: {line[:80]!r} is not the nsmc layout's header: id, document, label")
        elif len(cells) != 3:
            broken.add(f"{_count(cells)}, expected 3: id, document, label", number)
        elif record := _record(columns, cells, number, broken):
            yield record


def _text(corpus: Corpus, path: Path, broken: Broken) -> Iterator[Record]:
    """One text a line; blank lines stand between documents."""
    if len(corpus.columns) != 1:
        raise DataError(f"{corpus.name}: plain text has one column, the recipe names {', '.join(corpus.columns)}")
    document, name = 0, corpus.columns[0]
    gap = False
    for number, line in _lines(path, broken):
        if line and not line.isspace():
            document += gap
            gap = False
            yield Record({name: line}, number, document=document)
        else:
            gap = True


def _jsonl(corpus: Corpus, path: Path, broken: Broken) -> Iterator[Record]:
    """An object a line; columns are its names."""
    columns = [name for name in corpus.columns if name != SKIPPED]
    for number, line in _lines(path, broken):
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            broken.add(f"not JSON at character {error.pos + 1}: {error.msg}", number)
            continue
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
            broken.add(f"not JSON that can be read: {error}", number)
            continue
        if not isinstance(values, dict):
            broken.add(f"{_kind(values)}, expected an object", number)
        elif missing := [name for name in columns if name not in values]:
            broken.add(f"no column {missing[0]}; it has {', '.join(values) or 'none'}", number)
        elif record := _converted(columns, [values[name] for name in columns], number, None, broken):
            yield record


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """A pyarrow.parquet.ParquetFile. Raises DataError for what is none, and without pyarrow."""
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet needs pyarrow: pip install 'triptych[train]'") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a sound Parquet file: {error}") from error


def _parquet(corpus: Corpus, path: Path, broken: Broken) -> Iterator[Record]:
    columns = [name for name in corpus.columns if name != SKIPPED]
    with open_parquet(path) as file:
        _check_schema(corpus, columns, file.schema_arrow)
        for group in range(file.num_row_groups):
            line = 0
            for batch in file.iter_batches(4096, row_groups=[group], columns=columns):
                by_name = [_values(batch.column(name)) for name in columns]
                for values in zip(*by_name, strict=True):
                    if record := _converted(columns, values, line, group, broken):
                        yield record
                    line += 1


def _check_schema(corpus: Corpus, columns: Sequence[str], schema: Any) -> None:
    import pyarrow.types as kinds  # type: ignore[import-untyped]

    for name in columns:
        if name not in schema.names:
            raise DataError(f"{corpus.name}: no column {name!r}; its columns are {', '.join(schema.names)}")
        kind = schema.field(name).type
        kind = kind.value_type if kinds.is_dictionary(kind) else kind
        checks = (kinds.is_string, kinds.is_large_string, kinds.is_integer, kinds.is_floating, kinds.is_boolean)
        if not any(fits(kind) for fits in checks):
            raise DataError(f"{corpus.name}: column {name!r} is of type {kind}, expected text or numbers")


def _values(column: Any) -> list[Any]:
    """Of an Arrow array; what is not UTF-8 becomes an error in its place, as a value."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_value(item) for item in column]


def _value(item: Any) -> Any:
    try:
        return item.as_py()
    except UnicodeDecodeError as error:
        return error


def _converted(
    columns: Sequence[str], values: Sequence[Any], line: int, group: int | None, broken: Broken
) -> Record | None:
    """Texts as they are, numbers as one writes them; None, and counted, when there is neither."""
    texts = {}
    for column, value in zip(columns, values, strict=True):
        text = value if type(value) is str else _as_text(value)
        if text is None or not text.strip():
            broken.add(f"column {column} {_complaint(text, value)}", line, group)
            return None
        if _SURROGATE.search(text):
            broken.add(f"column {column} has half a character (a lone surrogate)", line, group)
            return None
        texts[column] = text
    return Record(texts, line, group)


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():  # whole numbers with gaps among them are often stored so
        return str(int(value))
    return str(value) if isinstance(value, (int, float)) and value == value else None


def _complaint(text: str | None, value: Any) -> str:
    if isinstance(value, UnicodeDecodeError):
        return f"is not UTF-8 at byte {value.start}"
    return "is empty" if text is not None or value is None or value != value else f"is {_kind(value)}, expected a text"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _aligned(corpus: Corpus, paths: Sequence[Path], broken: Broken) -> Iterator[Record]:
    """Line n of each file belongs to line n of the others."""
    columns, names = tuple(corpus.files), tuple(corpus.files.values())
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        for file in files:
            _skip_byte_order_mark(file)
        for number, lines in enumerate(itertools.zip_longest(*files), start=1):
            if None in lines:
                counts = [
                    f"{name} has {number - 1 if line is None else number + sum(1 for _ in file):,}"
                    for name, line, file in zip(names, lines, files, strict=True)
                ]
                raise DataError(f"parallel files differ in their number of lines: {', '.join(counts)}")
            values = []
            for name, line in zip(names, lines, strict=True):
                try:
                    values.append(line.decode().rstrip("\r\n"))
                except UnicodeDecodeError as error:
                    broken.add(f"not UTF-8 at byte {error.start}", number, file=name)
                    break
            else:
                if record := _record(columns, values, number, broken):
                    yield record


_READERS: dict[str, Callable[[Corpus, Path, Broken], Iterator[Record]]] = {
    "csv": _csv,
    "tsv": _tsv,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "text": _text,
    "anki": _anki,
    "nsmc": _nsmc,
}
