"""`triptych init`. Heavy imports happen inside."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from service.commands.terminal import FormatName, parts_of, plainly, say


def init(
    task: Annotated[str, typer.Argument(help="What the model is to do, such as classify.")],
    file: Annotated[Path, typer.Argument(help="Your data: CSV, TSV, JSON Lines, Parquet or plain text.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the recipe.", show_default="NAME.yaml")] = None,
    name: Annotated[str, typer.Option(help="Of the model.", show_default="the file's")] = "",
    languages: Annotated[str, typer.Option(help="Of the columns: fr,en.", show_default="what they say")] = "",
    text: Annotated[str, typer.Option(help="Column with the texts.", show_default="found by looking")] = "",
    label: Annotated[str, typer.Option(help="Column with the labels.", show_default="found by looking")] = "",
    format: Annotated[FormatName | None, typer.Option(help="Of the file.", show_default="as its suffix says")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="That the training may take.", show_default="by the file")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the recipe if it is there.")] = False,
) -> None:
    """Look at a file and write a recipe for it, which `triptych train` runs as it is."""
    from models.training.data.look import Told, look_at
    from models.training.draft import draft, name_of
    from models.training.loading import load_recipe
    from models.training.start import check_model
    from models.training.tasks import DRAFTED
    from models.training.tasks.classify import ENOUGH, left_out

    with plainly():
        if task not in DRAFTED:
            raise ValueError(f"no recipe is drafted for the task {task!r}, expected one of {', '.join(DRAFTED)}")
        found = look_at(file, DRAFTED[task].find_columns, Told(_codes(languages), text, label), format)
        name = name or name_of(found)
        path = out or Path(f"{name}.yaml")
        if path.exists() and not force:
            raise ValueError(f"{path} is there already: --force overwrites it, --out writes another one")
        recipe = draft(found, DRAFTED[task], name, minutes)
        corpus = found.corpus
        say(
            f"{file}: {corpus.layout}, {found.rows:,} rows"
            + (f", {found.documents:,} documents" if found.is_prose else "")
        )
        for column, lengths in found.texts.items():
            called = corpus.called(column) if found.corpus.header else column
            say(f"  {column}{f' ({called})' if called != column else ''}: {lengths}")
        if found.labels:
            shown = [f"{label} {rows:,}" for label, rows in list(found.labels.items())[:20]]
            more = f" and {len(found.labels) - 20:,} more" if len(found.labels) > 20 else ""
            say(f"  label ({corpus.called('label')}): {', '.join(shown)}{more}")
            if rare := left_out(found):
                say(f"  left out, with fewer than {ENOUGH} rows each: {', '.join(rare[:20])}")
        if corpus.directions:
            say(f"  directions: {', '.join(corpus.directions)}")
        if found.broken[0]:
            say(f"  {found.broken[0]:,} rows cannot be read; the first: {found.broken[1]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(recipe, encoding="utf-8")
        written = load_recipe(path)
        check_model(written, None, path)
    limit = written.training.max_minutes
    say(f"Wrote {path}: {written.training.steps:,} steps, at most {limit:g} minutes. Read it before you run it.")
    data = shlex.quote(str(file.parent))
    say(f"Next: triptych train {shlex.quote(str(path))} --data {data}")
    say(f"then: triptych evaluate runs/{name}/checkpoint --data FILE, one that it has not seen, with the same columns")


def _codes(text: str) -> tuple[str, ...]:
    codes = parts_of(text)
    if text and (len(codes) < 2 or len({*codes}) < len(codes) or any("-" in code for code in codes)):
        raise ValueError(f"--languages {text!r} is not of the form fr,en: two languages or more, in the columns' order")
    return codes
