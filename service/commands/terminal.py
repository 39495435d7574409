"""What the commands share: where they write, how they fail, options that several have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

console = Console(highlight=False)
say = partial(console.print, markup=False, soft_wrap=True)  # a text as it is

RegistryOption = Annotated[str, typer.Option(help="Directory or URL (s3://...) that holds the checkpoints.")]
DataOption = Annotated[Path, typer.Option(envvar="TRIPTYCH_DATA", help="Folder of the text files that recipes name.")]
FormatName = Literal["csv", "tsv", "jsonl", "parquet", "text", "anki", "nsmc"]  # of `models.training.sections`


def parts_of(text: str) -> tuple[str, ...]:
    """What commas part."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def failed(reason: str) -> typer.Exit:
    """Say why on the terminal; what to raise."""
    console.print(f"[red]triptych:[/red] {escape(reason)}", soft_wrap=True)
    return typer.Exit(2)


@contextmanager
def plainly(*others: type[Exception]) -> Iterator[None]:
    """What goes wrong with files, settings, checkpoints or a registry, or is one of `others`, ends the command."""
    from models.checkpoint import CheckpointError
    from models.registry import RegistryError

    kinds: tuple[type[Exception], ...] = (OSError, ValueError, CheckpointError, RegistryError, *others)
    try:
        yield
    except kinds as error:
        raise failed(str(error)) from error
