"""`triptych train`. Heavy imports happen inside."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from service.commands.terminal import DataOption, RegistryOption, plainly, say
from service.config import SHIPPED_REGISTRY


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe as YAML, such as models/training/recipes/translator.yaml.")],
    data: DataOption,
    runs: Annotated[Path, typer.Option(help="Folder for the state and the result of the run.")] = Path("runs"),
    resume: Annotated[bool, typer.Option(help="Go on from where an interrupted run stopped.")] = True,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="A field that differs from the recipe's: training.steps=100.", show_default="none"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share each step's batches.")] = 1,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster for the workers.", show_default="a Ray of their own")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; auto is a GPU where there is one.")] = "auto",
    registry: RegistryOption = SHIPPED_REGISTRY,
    track: Annotated[
        str,
        typer.Option(
            envvar="MLFLOW_TRACKING_URI",
            help="MLflow store that is told of the run: sqlite:///mlflow.db, http://host:5000.",
            show_default="none",
        ),
    ] = "",
) -> None:
    """Train a model; the result is a checkpoint directory, which `publish` scores and adds to a registry."""
    from models.training import distributed, run
    from models.training.start import find_base
    from models.training.state import ResumeError
    from models.training.trainer import DivergedError, Interrupted
    from service.scoring.writing import hire_writer

    job = run.Job(
        recipe=recipe,
        data=data,
        runs=runs,
        registry=registry,
        resume=resume,
        device=device,
        track=track,
        changes=tuple(changes or ()),
    )
    hire = partial(hire_writer, base=find_base(registry))
    with plainly(ResumeError, DivergedError, Interrupted, distributed.WorkersFailedError):
        if workers == 1 and address is None:
            result = run.train(job, say, hire)
        else:
            result = distributed.train(job, workers, say, address=address, hire=hire)
    where = "" if registry == SHIPPED_REGISTRY else f" --registry {shlex.quote(registry)}"
    say(f"Trained: {result.checkpoint}\nNext: triptych publish {result.checkpoint} --data {data}{where}")
