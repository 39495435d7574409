"""From rows to ids, in memory or on disk. Only the lengths of examples on disk are held in memory.

Knows nothing of files with texts, of models or of losses.
"""

from __future__ import annotations

import io
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Protocol, Self

import numpy as np

from models import formats
from models.tokenizer import Tokenizer
from models.training.data.packing import blocks
from models.training.data.rows import Passage, TextRow
from models.training.data.spool import Spool, key_of, prepared
from models.training.recipe import Recipe

_VERSION = 2  # of the files; another one is written anew
_AHEAD = 4096  # rows that are tokenized at once, on all cores
_Ids = list[int]


@dataclass(frozen=True, slots=True)
class Example:
    """A row as ids (int32). `target` is the output's ids, for a classifier one label's index, or nothing where the text
    has no label.

    Of pre-training, `source` is [CLS] A [SEP] and `target` B [SEP], or empty.
    """

    source: np.ndarray
    target: np.ndarray


class Encoded(NamedTuple):
    """What a row gives."""

    examples: Sequence[tuple[Sequence[int], Sequence[int]]]  # (source, target)
    # What became of a row that is longer than the model takes.
    too_long: Literal["", "cut", "left out", "split into windows"] = ""


# What a task makes of a row, with a tokenizer that knows the row's normalized texts and the longest source and target.
EncodeRow = Callable[[Recipe, Tokenizer, TextRow, tuple[int, int]], Encoded]


class EpochExamples(Protocol):
    """What training reads in one epoch."""

    source_lengths_N: np.ndarray  # int32; of varied examples what is expected
    target_lengths_N: np.ndarray

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Example: ...


class TrainingExamples(Protocol):
    def epoch(self, number: int) -> EpochExamples: ...


@dataclass(eq=False)
class Examples:
    """N examples, of which M <= N are stored: those that are repeated are stored once."""

    ids: np.ndarray  # all of them in a row
    offsets: np.ndarray  # [M + 1]: where each of those that are stored begins
    stored_N: np.ndarray  # which of these it is
    source_lengths_N: np.ndarray  # int32
    target_lengths_N: np.ndarray
    too_long: str = ""  # what became of the texts that are longer than the model takes, in words

    def __len__(self) -> int:
        return len(self.stored_N)

    def epoch(self, number: int) -> Self:
        """What training reads in an epoch: these, always."""
        return self

    def __getitem__(self, index: int) -> Example:
        start = self.offsets[self.stored_N[index]]
        middle = start + self.source_lengths_N[index]
        end = middle + self.target_lengths_N[index]
        return Example(self.ids[start:middle].astype(np.int32), self.ids[middle:end].astype(np.int32))

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Of `encode`; memory-mapped but for the lengths."""
        kind = np.dtype((directory / "type").read_text())
        path = directory / "ids"
        ids = np.memmap(path, kind, mode="r") if path.stat().st_size else np.empty(0, kind)
        # As plain arrays: a slice of a np.memmap is one too, which takes ten times as long.
        offsets, stored_N = (np.asarray(np.load(directory / f"{n}.npy", mmap_mode="r")) for n in ("offsets", "stored"))
        sources_N, targets_N = (np.load(directory / f"{name}.npy") for name in ("sources", "targets"))
        too_long = (directory / "too_long").read_text(encoding="utf-8")
        return cls(np.asarray(ids), offsets, stored_N, sources_N, targets_N, too_long)


class _Writer:
    """Ids go to `file`, where they lie in a row; what is counted stays in memory."""

    def __init__(self, file: BinaryIO, kind: np.dtype) -> None:
        self._file, self._kind = file, kind
        self._sources, self._targets, self._repeats = array("i"), array("i"), array("i")
        self.fates: Counter[str] = Counter()  # of rows, as `Encoded` has them

    def add(self, source: Sequence[int] | np.ndarray, target: Sequence[int] | np.ndarray, repeat: int) -> None:
        for ids, lengths in ((source, self._sources), (target, self._targets)):
            self._file.write(np.asarray(ids, self._kind).tobytes())
            lengths.append(len(ids))
        self._repeats.append(repeat)

    @property
    def too_long(self) -> str:
        """What became of the rows that are longer than the model takes, in words."""
        parts = [f"{count:,} {fate}" for fate, count in sorted(self.fates.items()) if fate]
        return f"longer than the model takes, of {self.fates.total():,} rows: {', '.join(parts)}" if parts else ""

    def examples(self) -> Examples:
        """What was written; the file is one in memory."""
        assert isinstance(self._file, io.BytesIO)
        return Examples(np.frombuffer(self._file.getvalue(), self._kind), *self._counted(), self.too_long)

    def save(self, directory: Path) -> None:
        for name, values in zip(("offsets", "stored", "sources", "targets"), self._counted(), strict=True):
            np.save(directory / f"{name}.npy", values)
        (directory / "type").write_text(self._kind.name)
        (directory / "too_long").write_text(self.too_long, encoding="utf-8")

    def _counted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        sources, targets, repeats = (np.array(a, np.int32) for a in (self._sources, self._targets, self._repeats))
        offsets = np.zeros(len(sources) + 1, np.int64)
        np.cumsum(sources.astype(np.int64) + targets, out=offsets[1:])
        stored_N = np.repeat(np.arange(len(sources), dtype=np.int32), repeats)
        return offsets, stored_N, sources[stored_N], targets[stored_N]


def encode(
    encode_row: EncodeRow,
    recipe: Recipe,
    tokenizer: Tokenizer,
    rows: Iterable[TextRow],
    longest: tuple[int, int],
    directory: Path | None,
    *,
    pack: bool = False,
) -> Examples:
    """Rows as ids, at most `longest` (source, target) of them; of pre-training `longest[0]` for both parts together.

    `encode_row` says what becomes of longer ones. Equal rows that follow each other are stored once. With `pack`,
    passages come in blocks of `longest[1]` ids.

    With a `directory`, the ids of spooled rows lie on disk below it; what is there of the same rows, tokenizer and
    lengths is opened.
    """

    def write(writer: _Writer) -> None:
        counted = ((row, sum(1 for _ in same)) for row, same in groupby(rows))
        if pack:
            start, end = tokenizer.id("<s>"), tokenizer.id("</s>")
            for repeat, some in groupby(counted, lambda each: each[1]):
                for block in blocks(_passages(tokenizer, (row for row, _ in some)), longest[1], start, end):
                    writer.add([start], block, repeat)
            return
        ahead = _Ahead(tokenizer)
        while chunk := list(islice(counted, _AHEAD)):
            ahead.read([row for row, _ in chunk])
            for row, repeat in chunk:
                encoded = encode_row(recipe, ahead, row, longest)
                writer.fates[encoded.too_long] += repeat
                for source, target in encoded.examples:
                    writer.add(source, target, repeat)

    if directory is None:
        writer = _Writer(io.BytesIO(), np.dtype(np.int32))
        write(writer)
        return writer.examples()
    assert isinstance(rows, Spool), "other rows have no key by which they are found again"
    largest = max(tokenizer.vocab_size, len(recipe.labels)) - 1
    kind = np.dtype(np.uint16 if largest <= np.iinfo(np.uint16).max else np.int32)

    def build(scratch: Path) -> None:
        with (scratch / "ids").open("wb") as file:
            writer = _Writer(file, kind)
            write(writer)
        writer.save(scratch)

    key = key_of([_VERSION, rows.key, recipe.task, recipe.labels, tokenizer.definition, longest, pack])
    return Examples.open(prepared(directory, "examples", key, build))


def _passages(tokenizer: Tokenizer, rows: Iterator[TextRow]) -> Iterator[tuple[Passage, _Ids]]:
    """One that goes on with its document begins with the space between the two."""
    passages = ((row.passage, row.target) for row in rows if row.passage is not None)
    while chunk := list(islice(passages, _AHEAD)):
        texts = [" " * (passage.number > 0) + formats.normalize(text) for passage, text in chunk]
        yield from zip((passage for passage, _ in chunk), tokenizer.encode_batch(texts), strict=True)


class _Ahead(Tokenizer):
    """The same tokenizer, which has tokenized the texts that it will be asked for: many at once, on all cores."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._known = tokenizer, dict[str, _Ids]()

    def read(self, rows: Sequence[TextRow]) -> None:
        texts = {text or "" for row in rows for text in (row.source, row.target, row.pair, row.control)}
        normal = [formats.normalize(text) for text in texts]
        self._known = dict(zip(normal, self._tokenizer.encode_batch(normal), strict=True))

    def encode(self, text: str) -> _Ids:
        return self._known[text]

    def id(self, token: str) -> int:
        return self._tokenizer.id(token)
