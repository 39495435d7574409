"""`triptych evaluate` without its command line: measures a checkpoint on a file, or on its recipe's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from models.checkpoint import Manifest, load, read_manifest
from models.registry import Registry
from models.training.tasks import TASKS
from service.scoring import tables
from service.scoring.options import Options
from service.scoring.published import score
from service.scoring.tasks import MEASURED


def measure_recipe(directory: Path, options: Options, registry: Registry, console: Console) -> dict[str, Any]:
    """Show what `publish` would: the scores on the tests of the checkpoint's recipe, found in the folder of the data.

    Raises as `service.scoring.score`.
    """
    assert options.data is not None
    manifest = read_manifest(directory)
    console.print(
        f"[bold]{manifest.reference}[/bold], made to {manifest.task}, on its recipe's tests in {options.data}"
    )
    found = {
        test: each.scores
        for test, each in score(directory, options.data, registry, console, limit=options.limit).items()
    }
    tables.show_scores(found, console)
    return _record(manifest, options, "float32", found)


def measure(directory: Path, options: Options, console: Console) -> dict[str, Any]:
    """Show what was measured; the scores as plain values.

    Raises CheckpointError, DataError and RecipeError for files, ValueError for settings that the model cannot keep.
    """
    checkpoint = load(directory, base=options.base)
    manifest = checkpoint.manifest
    for task in MEASURED.values():
        for option, what in task.evaluations.items():
            if getattr(options, option) is not None and task.name != manifest.task:
                raise ValueError(f"{what} is of {TASKS[task.name].noun}; {manifest.name} is made to {manifest.task}")
    console.print(
        f"[bold]{manifest.reference}[/bold], made to {manifest.task}" + (f", on {options.data}" if options.data else "")
    )
    scores, precision = MEASURED[manifest.task].measure(checkpoint, options, console)
    return _record(manifest, options, precision, scores)


def _record(manifest: Manifest, options: Options, precision: str, scores: dict[str, Any]) -> dict[str, Any]:
    return {
        "checkpoint": manifest.reference,
        "task": manifest.task,
        "data": str(options.data) if options.data else None,
        "limit": options.limit,
        "precision": precision,
        "scores": scores,
    }
