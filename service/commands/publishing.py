"""`triptych publish`. Heavy imports happen inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from service.commands.terminal import DataOption, RegistryOption, console, failed
from service.config import SHIPPED_REGISTRY


def publish(
    directory: Annotated[Path, typer.Argument(help="Checkpoint directory, as `train` leaves it.")],
    data: DataOption,
    registry: RegistryOption = SHIPPED_REGISTRY,
) -> None:
    """Score a checkpoint on its test files through the serving engine, and publish it with its scores."""
    from models.checkpoint import CheckpointError
    from models.registry import RegistryError
    from models.training.publishing import publish as publish_checkpoint
    from service.scoring import score

    try:
        scores = score(directory, data, console)
        version = publish_checkpoint(directory, registry, scores)
    except (OSError, CheckpointError, RegistryError, ValueError) as error:
        raise failed(str(error)) from error
    console.print(json.dumps(scores, indent=2, ensure_ascii=False))
    console.print(f"Published as {version}")
