"""What a checkpoint was trained on, where its files are at hand."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from models.checkpoint import Manifest
from models.training.evaluation.training_text import TrainingText
from models.training.loading import read_recipe


def training_text(manifest: Manifest, folder: Path, console: Console) -> TrainingText | None:
    """None, and the reason is said, where a file that the checkpoint's recipe names is not in the folder."""
    try:
        recipe = manifest.training.get("recipe")
        if recipe is None:
            raise ValueError(f"{manifest.name} was made by no recipe, which would say what it was trained on")
        return TrainingText(read_recipe(recipe), folder, lambda line: console.print(line, markup=False))
    except ValueError as error:
        console.print(Text(f"Not told apart by what it was trained on: {error}", style="dim"))
        return None
