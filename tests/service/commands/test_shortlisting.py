from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.checkpoint import SHORTLIST, load, verify
from models.registry import Registry
from service.cli import app
from tests import checkpoints


@pytest.fixture
def parallel(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.tsv"
    file.write_text("I am tired.\tJe suis fatigué.\nWhere is the station?\tOù est la gare ?\n" * 20)
    return file


def shortlist(*arguments: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["shortlist", *map(str, arguments)])
    return found.exit_code, " ".join(found.output.split())


def test_a_table_is_made_for_both_directions_and_is_published_with_the_checkpoint(
    tmp_path: Path, parallel: Path
) -> None:
    directory = tmp_path / "translator"
    checkpoints.translator(directory)
    code, output = shortlist(directory, "--data", parallel, "--columns", "en,fr", "--frequent", 1)
    assert code == 0, output
    assert "fr-en: 40 pairs" in output
    assert SHORTLIST in verify(directory).files
    registry = Registry(tmp_path / "registry")
    registry.publish("translator", directory)
    table = registry.load("translator@1").shortlist
    assert table is not None
    assert set(table.languages) == {"en", "fr"}
    tokenizer = load(directory).tokenizer
    found = table.of("en", tokenizer.encode("Où est la gare ?"))
    assert found is not None
    assert set(tokenizer.encode("Where is the station?")) <= set(found.tolist())


def test_a_file_without_the_translators_languages_is_refused(tmp_path: Path, parallel: Path) -> None:
    checkpoints.translator(tmp_path / "translator")
    code, output = shortlist(tmp_path / "translator", "--data", parallel, "--columns", "de,es")
    assert code != 0
    assert "say what the columns are with --columns" in output


def test_a_model_that_does_not_translate_is_refused(tmp_path: Path, parallel: Path) -> None:
    checkpoints.generator(tmp_path / "generator")
    code, output = shortlist(tmp_path / "generator", "--data", parallel, "--columns", "en,fr")
    assert code != 0
    assert "a shortlist is of a translator; generator is made to generate" in output
