"""The command line: `triptych --help` lists its commands in the order in which they are used."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

import typer

from service.commands import completion, registry
from service.commands.bench import bench
from service.commands.classify import classify
from service.commands.evaluation import evaluate
from service.commands.exporting import export
from service.commands.generate import generate
from service.commands.importing import import_model
from service.commands.init import init
from service.commands.keys import key
from service.commands.publishing import publish
from service.commands.serving import reload_model, serve
from service.commands.shortlisting import shortlist
from service.commands.training import train
from service.commands.translate import translate
from service.version import version

ASK, SERVE, TRAIN, OTHERS = "Ask a model", "Serve models", "Train models and publish them", "Others"

app = typer.Typer(add_completion=False, no_args_is_help=True)
app.command(rich_help_panel=ASK)(translate)
app.command(rich_help_panel=ASK)(generate)
app.command(rich_help_panel=ASK)(classify)
app.command(rich_help_panel=SERVE)(serve)
app.command("reload", rich_help_panel=SERVE)(reload_model)
app.command(rich_help_panel=SERVE)(key)
app.command(rich_help_panel=TRAIN)(init)
app.command(rich_help_panel=TRAIN)(train)
app.command(rich_help_panel=TRAIN)(evaluate)
app.command(rich_help_panel=TRAIN)(publish)
app.command("import", rich_help_panel=TRAIN)(import_model)
app.command(rich_help_panel=TRAIN)(export)
app.command(rich_help_panel=TRAIN)(shortlist)
app.add_typer(registry.commands, name="registry", rich_help_panel=TRAIN)
app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
    rich_help_panel=OTHERS,
)(bench)
app.command(rich_help_panel=OTHERS)(completion.completion)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"{completion.PROGRAM} {version()}")
        raise typer.Exit


@app.callback()
def _triptych(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which release this is.")
    ] = False,
) -> None:
    """Serve and train translators, generators and classifiers, and ask them."""
    if context.obj is not None:
        context.obj()


def main(loaded: Callable[[], None]) -> None:
    """`loaded` is called before the command that was asked for begins."""
    # Ray prints its own notices unless told otherwise before it is imported.
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    completion.prepare()
    app(prog_name=completion.PROGRAM, obj=loaded)
