"""`triptych shortlist`. Heavy imports happen inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.commands.terminal import FormatName, RegistryOption, console, failed, parts_of, plainly
from service.config import SHIPPED_REGISTRY


def shortlist(
    checkpoint: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or a checkpoint directory: a translator.")],
    data: Annotated[list[Path], typer.Option(help="A file of parallel text. May be given again.")],
    registry: RegistryOption = SHIPPED_REGISTRY,
    columns: Annotated[
        str,
        typer.Option(
            help="In the files' order, where they have no header: fr,en; '_' is not read. Or by name: fr=french.",
            show_default="the header's",
        ),
    ] = "",
    format: Annotated[
        FormatName | None, typer.Option(help="Of the files.", show_default="as their suffixes say")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Read only so many rows of each file.", show_default="all")
    ] = None,
    best: Annotated[int, typer.Option(min=1, help="Translations of a token that are kept.")] = 30,
    frequent: Annotated[int, typer.Option(min=0, help="Most frequent tokens of a language, for any source.")] = 400,
) -> None:
    """Learn which tokens translate which, so that a model with `shortlist: true` chooses among these alone.

    The table is written into the checkpoint's directory, and its manifest names it.
    """
    from models.checkpoint import MANIFEST, SHORTLIST, write_manifest
    from models.registry import Registry
    from service.scoring.options import Options
    from service.scoring.shortlisting import learned_from

    with plainly():
        checkpoints = Registry(registry)
        directory = checkpoints.resolve(checkpoint)
        if not (directory / MANIFEST).is_file():
            raise failed(f"{directory} is a published model as it is: import it, and name what comes of it")
        if not isinstance(checkpoints.root, Path) and not Path(checkpoint).is_dir():
            raise failed(f"{checkpoint} lies at {checkpoints.root}: make the table before the model is published there")
        loaded = checkpoints.load(checkpoint)
        files = [Options(data=file, columns=parts_of(columns), format=format, limit=limit) for file in data]
        table = learned_from(loaded, files, console, best=best, frequent=frequent)
        table.save(directory / SHORTLIST)
        write_manifest(directory, loaded.manifest)
    console.print(f"Written to {directory / SHORTLIST}")
