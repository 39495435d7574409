"""What `triptych --help` and the help of each command say, and what is said of a command that there is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from service.cli import app
from service.version import version

ORDER = {
    "Ask a model": ["translate", "generate", "classify"],
    "Serve models": ["serve", "reload", "key"],
    "Train models and publish them": ["init", "train", "evaluate", "publish", "registry"],
    "Others": ["bench", "completion"],
}


def options() -> Iterator[tuple[str, typer.core.TyperOption]]:
    top = typer.main.get_command(app)
    assert isinstance(top, typer.core.TyperGroup)
    registry = top.commands["registry"]
    assert isinstance(registry, typer.core.TyperGroup)
    for name, command in {
        **top.commands,
        **{f"registry {name}": each for name, each in registry.commands.items()},
    }.items():
        for option in command.params:
            if isinstance(option, typer.core.TyperOption):
                yield f"{name} {option.opts[-1]}", option


def test_commands_are_grouped_in_the_order_in_which_they_are_used() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    words = [*ORDER] + [f"│ {command} " for commands in ORDER.values() for command in commands]
    assert all(word in shown for word in words)
    expected = [word for panel, commands in ORDER.items() for word in (panel, *(f"│ {each} " for each in commands))]
    assert sorted(words, key=shown.index) == expected


@pytest.mark.parametrize(("said", "option"), [pytest.param(said, option, id=said) for said, option in options()])
def test_what_holds_without_an_option_is_said_in_its_help(said: str, option: typer.core.TyperOption) -> None:
    plain_flag = option.is_flag and not option.secondary_opts and not option.default
    told = isinstance(option.show_default, str) or (option.show_default and option.default not in (None, "", [], ()))
    assert option.required or plain_flag or told


@pytest.mark.parametrize(
    "command", [command for commands in ORDER.values() for command in commands if command != "bench"]
)
def test_no_option_is_cut_off_where_the_terminal_is_narrow(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    for said, option in options():
        if said.rpartition(" ")[0] == command:
            assert all(name in done.output for name in option.opts), said


def test_the_release_is_said() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"triptych {version()}\n")


@pytest.mark.parametrize(("typed", "meant"), [("trnslate", "translate"), ("clasify", "classify"), ("serv", "serve")])
def test_an_unknown_command_suggests_the_nearest(typed: str, meant: str) -> None:
    done = CliRunner().invoke(app, [typed])
    assert done.exit_code == 2
    assert f"Did you mean '{meant}'" in done.output
