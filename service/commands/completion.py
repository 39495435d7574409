"""`triptych completion`: what a shell needs to complete commands and options. The scripts are typer's."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer
from typer.completion import completion_init, get_completion_script

PROGRAM = "triptych"
VARIABLE = "_TRIPTYCH_COMPLETE"  # says that a shell asks, and which


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Which shell.")]) -> None:
    """Print a script that lets a shell complete commands and options.

    For bash: echo 'source <(triptych completion bash)' >> ~/.bashrc
    """
    print(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))


def prepare() -> None:
    """Before the application runs: a shell that asks is answered."""
    if VARIABLE in os.environ:
        completion_init()
