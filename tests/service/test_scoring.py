from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from models.training.run import train
from service.scoring import score
from tests import recipes


def trained(name: str, folder: Path, **training: object) -> tuple[Path, Path]:
    """A checkpoint directory and the data it was trained on."""
    data = recipes.write_data(folder / "data")
    recipe = recipes.write_recipe(folder, recipes.RECIPES[name], **training)
    return train(recipe, data, folder / "runs", say=lambda line: None).checkpoint, data


def test_a_translators_scores_are_bleu_by_file_and_direction(tmp_path: Path) -> None:
    scores = score(*trained("translator", tmp_path), Console(quiet=True))
    assert scores.keys() == {"test fr-en"}
    assert scores["test fr-en"]["sentences"] == 4
    assert "tok:13a" in scores["test fr-en"]["signature"]


def test_a_classifier_that_learned_its_task_scores_well(tmp_path: Path) -> None:
    learned = trained("classifier", tmp_path, steps=60, learning_rate=0.01, masked_words_steps=0)
    assert score(*learned, Console(quiet=True)) == {"labelled.test": {"accuracy": 1.0, "texts": 16}}


def test_a_generators_score_is_bits_per_byte_of_held_out_texts(tmp_path: Path) -> None:
    scores = score(*trained("generator", tmp_path), Console(quiet=True))
    assert 0 < scores["held-out reviews"]["bits_per_byte"] < 10


def test_a_test_text_the_engine_refuses_is_said_rather_than_left_out(tmp_path: Path) -> None:
    checkpoint, data = trained("classifier", tmp_path)
    (data / "labelled.test.tsv").write_text("1\t" + "정말 " * 200 + "\n")
    with pytest.raises(ValueError, match=r"no answer to '정말.*the limit is 32"):
        score(checkpoint, data, Console(quiet=True))
