"""`triptych train`. Heavy imports happen inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.commands.terminal import DataOption, console, failed


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe as YAML, such as models/training/recipes/translator.yaml.")],
    data: DataOption,
    runs: Annotated[Path, typer.Option(help="Folder for the state and the result of the run.")] = Path("runs"),
    resume: Annotated[bool, typer.Option(help="Go on from where an interrupted run stopped.")] = True,
) -> None:
    """Train a model; the result is a checkpoint directory, which `publish` scores and adds to a registry."""
    from models.training.run import train as run_training
    from models.training.state import ResumeError
    from models.training.trainer import DivergedError, Interrupted

    try:
        directory = run_training(recipe, data, runs, resume=resume, say=console.print).checkpoint
    except (OSError, ValueError, ResumeError, DivergedError, Interrupted) as error:
        raise failed(str(error)) from error
    console.print(f"Trained: {directory}\nNext: triptych publish {directory} --data {data}")
