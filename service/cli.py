"""The command line, `triptych`: each command is a module of `service.commands`."""

from __future__ import annotations

import os

import typer

from service.commands import registry
from service.commands.bench import bench
from service.commands.evaluation import evaluate
from service.commands.init import init
from service.commands.keys import key
from service.commands.publishing import publish
from service.commands.serving import reload_model, serve
from service.commands.training import train
from service.commands.translate import translate

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Serve and train the models of Triptych.")
app.command()(serve)
app.command("reload")(reload_model)
app.command()(key)
app.command()(translate)
app.command()(init)
app.command()(train)
app.command()(evaluate)
app.command()(publish)
app.add_typer(registry.commands, name="registry")
app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=False)(bench)


def main() -> None:
    # Ray prints its own notices unless told otherwise before it is imported.
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    app()


if __name__ == "__main__":
    main()
