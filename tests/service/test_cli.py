"""The command line as a user runs it, from a recipe to a published checkpoint and back. `serve` is in tests/e2e."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from tests import recipes


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_DATA", str(recipes.write_data(tmp_path / "data")))
    return tmp_path


def test_a_recipe_becomes_a_scored_version_that_can_be_rolled_back(folder: Path) -> None:
    recipe = recipes.write_recipe(folder, recipes.RECIPES["classifier"])
    trained = run("train", recipe)
    assert trained.exit_code == 0, trained.output
    assert "triptych publish runs/classifier/checkpoint" in trained.output
    for version in (1, 2):
        published = run("publish", "runs/classifier/checkpoint", "--registry", "registry")
        assert published.exit_code == 0, published.output
        assert f"classifier@{version}" in published.output
    listed = run("registry", "list", "--registry", "registry").output
    assert "classifier@1" in listed
    assert "labelled.test: accuracy " in listed
    assert "{" not in listed
    assert run("registry", "rollback", "classifier", "--registry", "registry").output == "classifier@1 is current\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "nowhere.yaml"), "nowhere.yaml: no such recipe"),
        (("publish", "nowhere"), "nowhere: no such checkpoint directory"),
        (("registry", "rollback", "nobody", "--registry", "registry"), "no model 'nobody'"),
        (("registry", "list", "--registry", "nowhere"), "nowhere"),
        (("serve", "--config", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_what_is_not_there_is_said_plainly(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.output.replace("\n", "")
    assert "Traceback" not in done.output


def test_without_a_data_folder_it_asks_for_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIPTYCH_DATA")
    done = run("train", "recipe.yaml")
    assert done.exit_code == 2
    assert "--data" in done.output
