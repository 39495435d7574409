"""What an evaluation is asked for, and what it reads: the file, and what the checkpoint's recipe says of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from models.checkpoint import FindBase, Manifest
from models.precision import Precision
from models.training.evaluation.fewshot import Labelled, Template
from models.training.evaluation.testfile import Names, TestFile
from models.training.evaluation.training_text import TrainingText
from models.training.loading import read_recipe
from models.training.sections import Format
from service.messages import Decoding


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Of a few-shot evaluation."""

    counts: tuple[int, ...]  # of examples in the prompt
    template: Template
    words: Mapping[str, str]  # label -> what it is called in the template
    examples: Path | None = None  # None: drawn from the head of the file
    pool: int = 64  # rows of that head
    normalize_length: bool = False


@dataclass(frozen=True, kw_only=True)
class JudgedPrompts:
    """Of an evaluation of what a generator says when it is asked for a label."""

    judge: Path  # checkpoint directory of a classifier
    prompts: Mapping[str, str]  # prompt -> the label it is to get
    samples: int  # of each
    decoding: Decoding


@dataclass(frozen=True, kw_only=True)
class Options:
    data: Path | None = None
    columns: tuple[str, ...] = ()
    format: Format | None = None
    limit: int | None = None
    precision: Precision = "auto"
    seed: int = 1
    pairs: tuple[tuple[str, str], ...] = ()  # none: all of the checkpoint's that the columns have
    decoding: Decoding = field(default_factory=lambda: Decoding(num_beams=4))  # of a translator
    tokenize: str | None = None  # None: by the target language
    training_data: Path | None = None  # folder of the files that the checkpoint's recipe was trained on
    worst: int = 5
    label_column: str = "label"  # as rows have it; in a file without `columns` what looks like it
    labels: Mapping[str, str] = field(default_factory=dict)
    prompt: str = ""
    stride: int | None = None
    shots: Shots | None = None
    steering: JudgedPrompts | None = None
    suite: Path | None = None  # of robustness
    base: FindBase | None = None  # of a checkpoint that is kept beside one

    @property
    def file(self) -> Path:
        if self.data is None:
            raise ValueError("say what to measure on: --data FILE")
        return self.data

    def read(
        self,
        needed: Sequence[str],
        console: Console,
        *,
        optional: Sequence[str] = (),
        known: Names | None = None,
        documents: bool = False,
    ) -> TestFile:
        """The file to measure on. What was found in it, and what cannot be read, is shown."""
        file = TestFile.read(
            self.file,
            needed,
            columns=self.columns,
            format=self.format,
            limit=self.limit,
            optional=optional,
            known=known,
            documents=documents,
        )
        if file.took:
            console.print(Text(f"columns, with what the file calls them: {file.took}"))
        count, first = file.broken
        if count:
            console.print(Text(f"{count:,} rows cannot be read: left out. {first}", style="yellow"))
        return file


def labelled_rows(
    file: TestFile, options: Options, meaning: Mapping[str, str], labels: Sequence[str], console: Console
) -> list[Labelled]:
    rows = file.labelled(options.label_column, meaning, labels)
    if len(rows) < len(file.rows):
        console.print(f"{len(file.rows) - len(rows):,} rows have none of the labels: left out")
    return rows


def listed(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join("-".join(pair) for pair in pairs) or "nothing"


def recipe_values(manifest: Manifest) -> Mapping[str, Any]:
    """Of a checkpoint that this project trained; else empty."""
    return manifest.training.get("recipe") or {}


def corpora_of(manifest: Manifest) -> list[Mapping[str, Any]]:
    recipe = recipe_values(manifest)
    return [corpus for role in ("corpora", "validation", "tests") for corpus in recipe.get(role, ())]


def known_names(manifest: Manifest) -> dict[str, list[str]]:
    """What the files that it was trained on called a column."""
    known: dict[str, list[str]] = {}
    for corpus in corpora_of(manifest):
        names = corpus.get("names") or {}
        label = corpus.get("label_column", "label")
        for column, name in {**names, "label": names.get(label, label)}.items():
            known.setdefault(column, []).append(name)
    return known


def training_text(manifest: Manifest, folder: Path, console: Console) -> TrainingText | None:
    """None, and the reason is said, where a file that the checkpoint's recipe names is not in the folder."""
    try:
        if "recipe" not in manifest.training:
            raise ValueError(f"{manifest.name} was made by no recipe, which would say what it was trained on")
        recipe = read_recipe(manifest.training["recipe"])
        return TrainingText(recipe, folder, lambda line: console.print(line, markup=False))
    except ValueError as error:
        console.print(Text(f"Not told apart by what it was trained on: {error}", style="dim"))
        return None
