"""`triptych registry list | rollback`. Heavy imports happen inside."""

from __future__ import annotations

from collections.abc import Mapping

import typer
from rich.table import Table

from service.commands.terminal import RegistryOption, console, failed
from service.config import SHIPPED_REGISTRY

commands = typer.Typer(no_args_is_help=True, help="Look at the checkpoints a registry holds, or roll one back.")


@commands.command("list")
def list_registry(registry: RegistryOption = SHIPPED_REGISTRY) -> None:
    """Names, versions and scores; the current version is marked."""
    from models.checkpoint import read_manifest
    from models.registry import Registry

    checkpoints = Registry(registry)
    entries = checkpoints.list()
    if not entries:
        raise failed(f"no checkpoints in {registry}")
    table = Table("checkpoint", "current", "scores", box=None)
    for entry in entries:
        for version in entry.versions:
            reference = f"{entry.name}@{version}"
            scores = read_manifest(checkpoints.resolve(reference)).scores
            listed = "\n".join(f"{name}: {_measures(value)}" for name, value in scores.items())
            table.add_row(reference, "*" if version == entry.current else "", listed)
    console.print(table)


@commands.command()
def rollback(name: str, registry: RegistryOption = SHIPPED_REGISTRY) -> None:
    """Make the version before the current one current again."""
    from models.registry import Registry, RegistryError

    try:
        version = Registry(registry).rollback(name)
    except RegistryError as error:
        raise failed(str(error)) from error
    console.print(f"{name}@{version} is current")


def _measures(score: Mapping[str, object]) -> str:
    """The figures of one test file; its signature and size are in the manifest."""
    return ", ".join(f"{name} {value}" for name, value in score.items() if isinstance(value, float))
