"""How well we find the ends of sentences, beside the libraries that are installed, where the sentences are known.

A text is two to six sentences of a file, one behind the other with a space between them. The end of each but the last
is to be found; where in a text an end is, is the number of characters before it that are no white space, so that a
library may do with white space what it likes.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from service.worker.segments.protection import protected
from service.worker.segments.segmentation import segmented

LONGEST = 400  # characters of a sentence: what is longer is often several
FEWEST, MOST = 2, 6  # sentences of a text
_WHOLE = re.compile(r"[.!?…。？！][\"»”’')]*$")
_WHITE_SPACE = re.compile(r"\s")

Split = Callable[[str], Sequence[str]]  # a text's sentences; joined they are the text, but for white space


@dataclass(frozen=True)
class Source:
    """Sentences of one language: a column of a file."""

    name: str
    language: str
    file: str
    column: int
    running: bool = False  # neighbours belong together; others are mixed


SOURCES = (
    Source("Tatoeba fr", "fr", "tatoeba.fr-en.test.tsv", 0),
    Source("Tatoeba en", "en", "tatoeba.fr-en.test.tsv", 1),
    Source("Tatoeba ko", "ko", "tatoeba.ko-en.test.tsv", 0),
    Source("NTREX en", "en", "ntrex.ko-en.test.tsv", 1, running=True),
    Source("NTREX ko", "ko", "ntrex.ko-en.test.tsv", 0, running=True),
    Source("handbooks fr", "fr", "docs.fr-en.tsv", 0),
    Source("handbooks en", "en", "docs.fr-en.tsv", 1),
    Source("news ko", "ko", "kor-news.ko-en.tsv", 0, running=True),
)


@dataclass(frozen=True)
class Library:
    """`load` gives what splits texts of a language; `languages` are those that it is for, None: all."""

    name: str
    load: Callable[[str], Split]
    package: str | None = None  # that it is in; None: nothing has to be installed
    languages: tuple[str, ...] | None = None

    @property
    def installed(self) -> bool:
        return self.package is None or importlib.util.find_spec(self.package) is not None

    @property
    def title(self) -> str:
        return self.name if self.package is None else f"{self.name} {version(self.package)}"


@dataclass(frozen=True)
class Measured:
    """Of one library, on the sentences of one source."""

    source: str
    library: str
    sentences: int
    precision: float
    recall: float
    f1: float
    ms_a_sentence: float


def run(*, data: Path, sentences: int, console: Console) -> dict[str, Any]:
    """The first so many `sentences` of each source, mixed before unless neighbours belong together."""
    there = [library for library in LIBRARIES if library.installed]
    missing = [library.name for library in LIBRARIES if not library.installed]
    if not data.is_dir():
        raise ValueError(f"{data}: no such folder")
    found: list[Measured] = []
    sizes: dict[str, int] = {}
    with console.status("") as status:
        for source in SOURCES:
            known = texts(read(source, data / source.file, sentences))
            sizes[source.name] = sum(map(len, known))
            for library in there:
                if library.languages is None or source.language in library.languages:
                    status.update(f"{source.name}: {library.title}")
                    found.append(measured(source, library, known))
    table = Table(title="F1 of the ends of sentences", title_justify="left", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    for name in (*sizes, "ms a sentence"):
        table.add_column(name, justify="right")
    for library in there:
        own = {each.source: each for each in found if each.library == library.title}
        cells = [f"{own[name].f1:.3f}" if name in own else "" for name in sizes]
        table.add_row(library.title, *cells, f"{_cost([*own.values()]):.2f}")
    table.add_section()
    table.add_row("sentences", *map("{:,}".format, sizes.values()), "")
    console.print(table)
    if missing:
        console.print(f"not installed: {', '.join(missing)}")
    return {"sentences": sentences, "measured": [asdict(each) for each in found], "not_installed": missing}


def read(source: Source, path: Path, count: int) -> list[str]:
    """The first so many whole sentences: headings and halves have no end that could be found."""
    with path.open(encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    found = [row[source.column].strip() for row in rows if len(row) > source.column]
    found = [each for each in found if len(each) < LONGEST and _WHOLE.search(each)]
    if not found:
        raise ValueError(f"{path}: column {source.column + 1} has no sentence")
    if not source.running:
        random.Random(1).shuffle(found)
    return found[:count]


def texts(sentences: Sequence[str]) -> list[Sequence[str]]:
    """Each as its sentences."""
    lengths, found, start = random.Random(2), [], 0
    while start < len(sentences):
        end = start + lengths.randint(FEWEST, MOST)
        found.append(sentences[start:end])
        start = end
    return found


def ends(sentences: Sequence[str]) -> set[int]:
    """But for the last one's, which is the text's."""
    found, position = set(), 0
    for sentence in sentences[:-1]:
        position += len(_WHITE_SPACE.sub("", sentence))
        found.add(position)
    return found


def measured(source: Source, library: Library, known: Sequence[Sequence[str]]) -> Measured:
    split = library.load(source.language)
    split(" ".join(known[0]))  # what is loaded with the first text is not what a text costs
    right = wrong = missed = 0
    seconds = 0.0
    for sentences in known:
        text = " ".join(sentences)
        began = time.perf_counter()
        said = split(text)
        seconds += time.perf_counter() - began
        wanted, found = ends(sentences), ends(said)
        right += len(wanted & found)
        wrong += len(found - wanted)
        missed += len(wanted - found)
    count = sum(map(len, known))
    precision, recall = _share(right, wrong), _share(right, missed)
    f1 = _share(2 * right, wrong + missed)
    return Measured(source.name, library.title, count, precision, recall, f1, 1000 * seconds / count)


def _share(part: int, others: int) -> float:
    return part / (part + others) if part + others else 1.0


def _cost(found: Sequence[Measured]) -> float:
    return sum(each.ms_a_sentence * each.sentences for each in found) / (sum(each.sentences for each in found) or 1)


def _ours(language: str) -> Split:
    def split(text: str) -> list[str]:
        found = segmented(text, language, "sentences", protected(text))
        return [each.before + each.text for each in found.segments]

    return split


def _regular(language: str) -> Split:
    return re.compile(r"(?<=[.!?…。？！])[\"»”’')]*\s+").split


def _sentencex(language: str) -> Split:
    sentencex = importlib.import_module("sentencex")
    return lambda text: sentencex.segment(language, text)


def _pysbd(language: str) -> Split:
    pysbd = importlib.import_module("pysbd")
    known = importlib.import_module("pysbd.languages").LANGUAGE_CODES
    return pysbd.Segmenter(language=language if language in known else "en", clean=False).segment


def _blingfire(language: str) -> Split:
    blingfire = importlib.import_module("blingfire")
    return lambda text: blingfire.text_to_sentences(text).split("\n")


def _syntok(language: str) -> Split:
    segmenter = importlib.import_module("syntok.segmenter")

    def split(text: str) -> Iterator[str]:
        for paragraph in segmenter.analyze(text):
            for tokens in paragraph:
                yield "".join(token.spacing + token.value for token in tokens)

    return lambda text: list(split(text))


def _kiwi(language: str) -> Split:
    kiwi = importlib.import_module("kiwipiepy").Kiwi()
    return lambda text: [each.text for each in kiwi.split_into_sents(text)]


def _kss(language: str) -> Split:
    return importlib.import_module("kss").split_sentences


LIBRARIES = (
    Library("ours", _ours),
    Library("mark and space", _regular),  # a regular expression
    Library("sentencex", _sentencex, "sentencex"),
    Library("pysbd", _pysbd, "pysbd"),
    Library("blingfire", _blingfire, "blingfire"),
    Library("syntok", _syntok, "syntok"),
    Library("kiwi", _kiwi, "kiwipiepy", languages=("ko",)),
    Library("kss", _kss, "kss", languages=("ko",)),
)
