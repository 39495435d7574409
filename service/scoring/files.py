"""The file that somebody has to measure on, as the checkpoint's recipe helps to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from models.checkpoint import Manifest
from models.training.evaluation.fewshot import Labelled
from models.training.evaluation.testfile import TestFile
from service.scoring.options import Options


def report_on(file: TestFile, console: Console) -> None:
    if file.took:
        console.print(Text(f"columns, with what the file calls them: {file.took}"))
    count, first = file.broken
    if count:
        console.print(Text(f"{count:,} rows cannot be read: left out. {first}", style="yellow"))


def labelled_rows(
    file: TestFile, options: Options, meaning: Mapping[str, str], labels: Sequence[str], console: Console
) -> list[Labelled]:
    report_on(file, console)
    rows = file.labelled(options.labelled_by, meaning, labels)
    if len(rows) < len(file.rows):
        console.print(f"{len(file.rows) - len(rows):,} rows have none of the labels: left out")
    return rows


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
