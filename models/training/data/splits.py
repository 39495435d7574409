"""The data of a run: read, cleaned and held apart once, as a stream, and spooled to disk.

Ties the other modules of this folder together. Everything random comes from the seed.
"""

from __future__ import annotations

import heapq
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from models.training.data.cleaning import Cleaner
from models.training.data.duplicates import NearDuplicates, hash64
from models.training.data.labels import MOST_LABELS, check_examples, check_number, check_others, labels_found
from models.training.data.readers import Broken, DataError, found_paths, place, read_rows
from models.training.data.report import CorpusReport, Report, Role
from models.training.data.rows import ReadingTask, Sample, TextRow
from models.training.data.spool import Spool, key_of, prepared, spooled_rows, write_rows
from models.training.data.written import Writing, written
from models.training.recipe import Recipe
from models.training.sections import Corpus

Say = Callable[[str], None]
_VERSION = 3  # of the spooled files; others are written anew
_SECONDS = 30  # between lines that say how far the reading is


@dataclass(frozen=True)
class Splits:
    training: Spool  # rows, with repeats; can be iterated many times
    validation: list[TextRow]
    report: Report


def read_splits(
    task: ReadingTask, recipe: Recipe, data: Path, directory: Path, say: Say = print, writing: Writing | None = None
) -> Splits:
    """Training and validation rows. No training text is nearly one of the validation or test files.

    Training rows are read once and spooled to `directory`/data; when the recipe's data fields and the files (size,
    time of change) are those of an earlier call, what it left is opened. `directory`/report.json says what became of
    the rows. `writing` is for corpora with written columns. Raises DataError.
    """
    _check_scripts(recipe)
    stamps = _stamps((*recipe.corpora, *recipe.validation, *recipe.tests), data)
    key = key_of([_VERSION, recipe.read_from, stamps, writing.key if writing else ""])

    def build(scratch: Path) -> None:
        report = _Preparation(task, recipe, data, say, writing).write(scratch)
        say(str(report))
        values = json.dumps(report.to_dict(), ensure_ascii=False, indent=2)
        (scratch / "report.json").write_text(f"{values}\n", encoding="utf-8")
        (directory / "report.json").unlink(missing_ok=True)  # of an earlier preparation

    folder = prepared(directory / "data", "rows", key, build)
    kept = (folder / "report.json").read_text(encoding="utf-8")
    report = Report.from_dict(json.loads(kept))
    if not (directory / "report.json").is_file():
        scratch = directory / ".report.unfinished"
        scratch.write_text(kept, encoding="utf-8")
        scratch.replace(directory / "report.json")
    parts = [(corpus.examples_kept, corpus.repeat) for corpus in report.corpora if corpus.role == "training"]
    with (folder / "validation.jsonl").open(encoding="utf-8") as file:
        validation = list(spooled_rows(file))
    return Splits(Spool(folder / "training.jsonl", parts, key), validation, report)


def with_labels(task: ReadingTask, recipe: Recipe, data: Path, directory: Path) -> Recipe:
    """The recipe with the labels that its training data has, where it needs some and names none. Raises DataError.

    They are looked for once and kept below `directory`/data.
    """
    if task.targets_are_text:
        return recipe
    if not recipe.labels:
        key = key_of([_VERSION, recipe.read_from["corpora"], _stamps(recipe.corpora, data)])

        def build(scratch: Path) -> None:
            found = labels_found(
                (sample.mark, corpus)
                for corpus in recipe.corpora
                if corpus.has_labels
                for sample in task.samples(recipe, corpus, read_rows(corpus, data))
            )
            (scratch / "labels.json").write_text(json.dumps(found), encoding="utf-8")

        folder = prepared(directory / "data", "labels", key, build)
        labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        recipe = recipe.model_copy(update={"labels": tuple(labels)})
    check_number(recipe)
    return recipe


def _check_scripts(recipe: Recipe) -> None:
    columns = {column for corpus in recipe.corpora for column in corpus.columns}
    for column in recipe.cleaning.scripts:
        if column not in columns:
            raise DataError(
                f"cleaning.scripts: no corpus has a column {column!r}; there are {', '.join(sorted(columns))}"
            )


def _stamps(corpora: Sequence[Corpus], data: Path) -> list[tuple[int, int]]:
    """Size and time of change of each file; not its path: workers on other machines may see the folder elsewhere."""
    stats = [path.stat() for corpus in corpora for path in found_paths(corpus, data)]
    return [(stat.st_size, stat.st_mtime_ns) for stat in stats]


class _Preparation:
    """One reading of all files."""

    def __init__(self, task: ReadingTask, recipe: Recipe, data: Path, say: Say, writing: Writing | None) -> None:
        self._task, self._recipe, self._data, self._say, self._writing = task, recipe, data, say, writing
        self._report = Report(labels=dict.fromkeys(recipe.labels, 0))
        self._read, self._said = 0, time.monotonic()

    def write(self, folder: Path) -> Report:
        """training.jsonl and validation.jsonl."""
        recipe = self._recipe
        texts: set[str] = set()
        chosen: dict[int, Sample] = {}
        with (folder / "validation.jsonl").open("w", encoding="utf-8") as file:
            for corpus in recipe.validation:
                self._held_out(corpus, "validation", texts, file)
            if recipe.hold_out:
                chosen = self._choose(recipe.corpora[0])
                rows = [row for sample in chosen.values() for row in sample.rows][: recipe.hold_out]
                self._report.validation = len(rows)
                write_rows(file, rows)
                texts.update(text for sample in chosen.values() for text in self._compared(sample))
        for corpus in recipe.tests:
            self._held_out(corpus, "test", texts, None)
        cleaner = Cleaner(recipe.cleaning, NearDuplicates(texts))
        del texts
        with (folder / "training.jsonl").open("w", encoding="utf-8") as file:
            for number, corpus in enumerate(recipe.corpora):
                self._train_on(corpus, cleaner, chosen if number == 0 else {}, file)
        if not self._report.training or not self._report.validation:
            raise DataError(
                f"{self._report.training} training and {self._report.validation} validation rows, expected at least "
                f"1 of each\n{self._report}"
            )
        if not self._task.targets_are_text:
            check_examples(recipe, self._report.labels)
        return self._report

    def _held_out(self, corpus: Corpus, role: Role, texts: set[str], file: TextIO | None) -> None:
        """Of a validation or a test file: its texts, and its rows to `file`."""
        entry = CorpusReport(corpus.name, role)
        for sample in self._samples(corpus, entry):
            texts.update(self._compared(sample))
            entry.kept += 1
            entry.examples_kept += len(sample.rows)
            if file is not None:
                self._report.validation += len(sample.rows)
                write_rows(file, sample.rows)

    def _choose(self, corpus: Corpus) -> dict[int, Sample]:
        """`hold_out` samples by their number in the file: those with the smallest keyed hashes of their texts.

        A bottom-k sample (Cohen and Kaplan 2007): it needs no more memory than itself, no text is in it twice, and a
        file that grows or is put in another order keeps most of it.
        """
        seed, wanted = str(self._recipe.seed), self._recipe.hold_out
        heap: list[tuple[int, int, Sample]] = []  # the largest hash first
        hashes: set[int] = set()
        for number, sample in enumerate(self._samples_of(corpus)):
            self._progress(corpus)
            hash = hash64("\n".join((*sample.texts.values(), sample.mark)), seed)
            if not sample.rows or (len(heap) == wanted and hash >= -heap[0][0]) or hash in hashes:
                continue
            hashes.add(hash)
            if len(heap) < wanted:
                heapq.heappush(heap, (-hash, number, sample))
            else:
                hashes.discard(-heapq.heapreplace(heap, (-hash, number, sample))[0])
        return {number: sample for _, number, sample in sorted(heap, key=lambda entry: entry[1])}

    def _train_on(self, corpus: Corpus, cleaner: Cleaner, chosen: dict[int, Sample], file: TextIO) -> None:
        entry = CorpusReport(corpus.name, "training", repeat=corpus.repeat)
        apart = self._task.texts_stand_alone
        for number, sample in enumerate(self._samples(corpus, entry)):
            reason: str | None = "other_labels"
            if sample.rows:
                reason = "held_out" if number in chosen else cleaner.reason(sample.texts, sample.mark, apart)
            if reason is None:
                entry.kept += 1
                entry.examples_kept += len(sample.rows)
                if sample.mark in self._report.labels:
                    self._report.labels[sample.mark] += 1
                write_rows(file, sample.rows)
            elif entry.leave_out(reason):
                entry.examples[reason] = _shown(corpus, sample)
        self._report.training += entry.examples_kept * corpus.repeat

    def _samples(self, corpus: Corpus, entry: CorpusReport) -> Iterator[Sample]:
        """All samples of a corpus, counted."""
        self._report.corpora.append(entry)
        broken = Broken(corpus)
        others, first = Counter[str](), ""
        for sample in self._samples_of(corpus, broken):
            entry.rows += 1
            self._progress(corpus)
            if not sample.rows:
                first = first or _shown(corpus, sample)
                others[sample.mark if len(others) < MOST_LABELS else "others"] += 1
            yield sample
        entry.broken, entry.broken_first = broken.count, broken.first
        check_others(corpus, others, first)

    def _samples_of(self, corpus: Corpus, broken: Broken | None = None) -> Iterator[Sample]:
        """All samples of a corpus, its written columns among them."""
        records = read_rows(corpus, self._data, broken)
        if corpus.written:
            (stamp,) = _stamps([corpus], self._data)
            records = written(corpus, stamp, records, self._writing, self._say)
        return self._task.samples(self._recipe, corpus, records)

    def _compared(self, sample: Sample) -> Iterable[str]:
        texts = sample.texts.values()
        return texts if self._task.texts_stand_alone else ("".join(texts),)

    def _progress(self, corpus: Corpus) -> None:
        self._read += 1
        if self._read % 4096 == 0 and time.monotonic() - self._said > _SECONDS:
            self._said = time.monotonic()
            self._say(f"{corpus.name}: reading; {self._read:,} rows so far")


def _shown(corpus: Corpus, sample: Sample) -> str:
    text = " ".join(" | ".join(sample.texts.values()).split())
    shown = text if len(text) <= 60 else text[:60] + "…"
    return f"{place(corpus.name, sample.line, sample.group)}: {shown}"
