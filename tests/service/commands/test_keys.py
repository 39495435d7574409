from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.gateway.keys import Keys


def run(*arguments: str):
    return CliRunner().invoke(app, ["key", *arguments])


def test_a_key_is_printed_once_and_its_hash_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    first = run("shop", "--file", str(file), "--requests", "600/minute", "--most-urgent", "-1")
    second = run("mine", "--file", str(file), "--tokens", "100000/day")
    assert (first.exit_code, second.exit_code) == (0, 0)
    keys = Keys(file)
    shop, mine = (keys.find(each.stdout.strip()) for each in (first, second))
    assert (shop.name, shop.requests, shop.tokens, shop.most_urgent) == ("shop", "600/minute", None, -1)
    assert (mine.name, mine.tokens, mine.most_urgent) == ("mine", "100000/day", 0)
    assert first.stdout.strip() not in file.read_text()


def test_what_is_in_the_file_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    run("shop", "--file", str(file))
    file.write_text("# of the shop\n" + file.read_text().rstrip("\n"))
    before = file.read_text()
    assert run("mine", "--file", str(file)).exit_code == 0
    assert file.read_text().startswith(before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop"], "the name 'shop' is there twice"),
        (["a b"], "keys.1.name is 'a b'"),
        (["b", "--requests", "plenty"], "keys.1.requests is 'plenty'"),
        (["b", "--most-urgent", "-11"], "keys.1.most_urgent is -11"),
    ],
)
def test_what_cannot_be_a_key_changes_nothing(tmp_path: Path, arguments: list[str], said: str) -> None:
    file = tmp_path / "keys.yaml"
    run("shop", "--file", str(file))
    before = file.read_text()
    done = run(*arguments, "--file", str(file))
    assert done.exit_code == 2
    assert said in done.output
    assert file.read_text() == before


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("port: 8000\n")
    assert run("shop", "--file", str(file)).exit_code == 2
    assert file.read_text() == "port: 8000\n"
