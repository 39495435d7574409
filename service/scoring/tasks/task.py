"""How checkpoints of a task are measured: one subclass for each task, a module each in this folder."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from models.checkpoint import Checkpoint, Manifest
from models.registry import Registry
from models.training.evaluation.scores import Measured
from models.training.recipe import Recipe
from service.scoring.options import Options

Found = tuple[dict[str, Any], str]  # scores, and the precision they were computed in


@dataclass(frozen=True)
class Scoring:
    """One checkpoint on the tests of a recipe, its own or that of the checkpoint it is compared with."""

    directory: Path
    checkpoint: Checkpoint  # of `directory`, loaded
    recipe: Recipe
    owner: Path  # the directory of the checkpoint that the recipe made
    data: Path
    registry: Registry
    console: Console

    @property
    def is_own(self) -> bool:
        return self.directory == self.owner

    def say(self, line: str) -> None:
        self.console.print(line, markup=False)

    @contextmanager
    def run_folder(self) -> Iterator[Path]:
        """That of the run that made the owner, where its data lies ready; one for the while if it is gone."""
        if (self.owner.parent / "tokenizer.json").is_file():
            yield self.owner.parent
            return
        with tempfile.TemporaryDirectory(prefix="triptych-scores-") as folder:
            yield Path(folder)


class MeasuredTask(ABC):
    name: str
    evaluations: dict[str, str] = {}  # noqa: RUF012 - options of this task alone, and what they ask for, in words

    @abstractmethod
    def scores(self, scoring: Scoring) -> dict[str, Measured]:
        """By test, as they are published. Raises ValueError where the engine cannot answer a text."""

    @abstractmethod
    def measure(self, checkpoint: Checkpoint, options: Options, console: Console) -> Found:
        """On any file; shows what it finds."""

    def is_comparable(self, manifest: Manifest, other: Manifest) -> bool:
        """Whether scores of the two versions on the same texts say which is better."""
        return True
