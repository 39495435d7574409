"""What the commands share: where they write, how they fail, options that several have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from service.config import in_words

console = Console(highlight=False)
errors = Console(highlight=False, stderr=True)  # what is not the answer, which may be piped on
say = partial(console.print, markup=False, soft_wrap=True)  # a text as it is

RegistryOption = Annotated[
    str, typer.Option(help="Directory or URL (s3://...) that holds the checkpoints.", show_default="the one shipped")
]
DataOption = Annotated[Path, typer.Option(envvar="TRIPTYCH_DATA", help="Folder of the text files that recipes name.")]
FormatName = Literal["csv", "tsv", "jsonl", "parquet", "text", "anki", "nsmc"]  # of `models.training.sections`


def parts_of(text: str) -> tuple[str, ...]:
    """What commas part."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def failed(reason: str, status: int = 2) -> typer.Exit:
    """Say why on the terminal; what to raise. The exit status is 2 for wrong use, 1 for what went wrong."""
    errors.print(f"[red]triptych:[/red] {escape(reason)}", soft_wrap=True)
    return typer.Exit(status)


@contextmanager
def plainly(*others: type[Exception]) -> Iterator[None]:
    """What goes wrong with files, settings, checkpoints or a registry, or is one of `others`, ends the command."""
    from models.checkpoint import CheckpointError
    from models.registry import RegistryError

    kinds: tuple[type[Exception], ...] = (OSError, ValueError, CheckpointError, RegistryError, *others)
    try:
        yield
    except BrokenPipeError:  # whoever read the output has enough
        raise
    except kinds as error:
        raise failed(str(error)) from error


@contextmanager
def settings_used() -> Iterator[None]:
    """Settings that cannot be used end the command."""
    try:
        yield
    except ValidationError as error:
        raise failed(f"the settings cannot be used: {in_words(error)}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise failed(f"the settings cannot be used: {error}") from error
