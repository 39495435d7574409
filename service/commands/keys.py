"""`triptych key`: makes a key for a client, and notes its hash in the file that the gateway reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from service.commands.terminal import failed

HEAD = "# Who may ask: gateway.keys names this file. A change is taken up within a second or two.\nkeys:\n"


def key(
    name: Annotated[str, typer.Argument(help="Whose it is: what metrics and the log call it.")],
    file: Annotated[Path, typer.Option(help="File of the keys; it is made where there is none.")] = Path("keys.yaml"),
    requests: Annotated[
        str | None, typer.Option(help='Quota of HTTP requests, such as "10/second; 600/minute".', show_default="none")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help='Quota of tokens read and written, such as "100000/day".', show_default="none")
    ] = None,
    most_urgent: Annotated[
        int, typer.Option(help="The most urgent priority its requests may have; lower is sooner.")
    ] = 0,
) -> None:
    """Make a key: it is printed once, and the file has its hash alone."""
    from service.gateway.keys import hash_of, new_key, parsed_keys
    from service.translating.files import write

    made = new_key()
    entry = {"name": name, "sha256": hash_of(made), "requests": requests, "tokens": tokens, "most_urgent": most_urgent}
    entry = {field: value for field, value in entry.items() if value is not None}
    try:
        before = file.read_text(encoding="utf-8") if file.exists() else HEAD
        if before and not before.endswith("\n"):
            before += "\n"
        if file.exists():
            parsed_keys(before, str(file))
        after = before + yaml.safe_dump([entry], sort_keys=False)
        parsed_keys(after, f"{file} with this key")
        write(file, after.encode())
    except (OSError, ValueError) as error:
        raise failed(str(error)) from error
    typer.echo(made)
    typer.echo(f"Its hash is in {file}; the key itself is nowhere else than above.", err=True)
