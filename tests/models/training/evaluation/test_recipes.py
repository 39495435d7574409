from __future__ import annotations

import math
from pathlib import Path

import pytest

from models.training.evaluation.likelihood import Likelihood, MaskedWords
from models.training.evaluation.recipes import (
    Answered,
    classification_scores,
    generation_scores,
    label_scores,
    pretraining_scores,
    translation_scores,
)
from models.training.recipe import Recipe
from tests import recipes


def recipe_of(name: str, **fields: object) -> Recipe:
    return Recipe.from_dict({**recipes.RECIPES[name], "training": recipes.TRAINING, **fields})


def silent(line: str) -> None:
    pass


def test_translations_are_scored_by_file_direction_and_beams_with_any_answerer(data: Path) -> None:
    answers = dict(line.split("\t") for line in (data / "test.tsv").read_text().splitlines())
    asked = []

    def answer(texts, source, target, beams):
        asked.append((source, target, beams))
        return [answers[text] if beams == 4 else "nothing alike" for text in texts]

    scores = translation_scores(recipe_of("translator", beams=[1, 4]), data, answer)
    assert asked == [("fr", "en", 1), ("fr", "en", 4)]
    assert scores["test fr-en, beam 4"]["bleu"] == pytest.approx(100)
    assert scores["test fr-en"]["bleu"] < 10
    assert "nc:6" in scores["test fr-en"]["chrf_signature"]


def test_both_directions_of_a_file_are_scored_apart(data: Path) -> None:
    tests = [{"file": "test.tsv", "columns": ["fr", "en"], "directions": ["fr-en", "en-fr"]}]
    asked = {}

    def answer(texts, source, target, beams):
        asked[source] = list(texts)
        return texts

    assert translation_scores(recipe_of("translator", tests=tests), data, answer).keys() == {"test fr-en", "test en-fr"}
    lines = [line.split("\t") for line in (data / "test.tsv").read_text().splitlines()]
    assert asked == {"fr": [line[0] for line in lines], "en": [line[1] for line in lines]}


def test_parallel_files_are_named_after_the_first(data: Path) -> None:
    for column, language in enumerate(("fr", "en")):
        lines = [line.split("\t")[column] for line in (data / "test.tsv").read_text().splitlines()]
        (data / f"news.{language}").write_text("\n".join(lines) + "\n")
    tests = [{"files": {"fr": "news.fr", "en": "news.en"}, "columns": ["fr", "en"], "directions": ["fr-en"]}]
    scores = translation_scores(recipe_of("translator", tests=tests), data, lambda texts, *rest: texts)
    assert scores["news fr-en"]["sentences"] == 4


def test_labels_are_scored_by_file_with_any_answerer(data: Path) -> None:
    scores = classification_scores(
        recipe_of("classifier"), data, lambda texts, pairs: [Answered("positive", 0.5)] * len(texts)
    )
    expected = {"accuracy": 0.5, "macro_f1": round(2 / 3 / 2, 4), "calibration_error": 0, "texts": 16}
    assert scores == {"labelled.test": expected}


def test_sure_and_wrong_is_a_calibration_error() -> None:
    answers = [Answered("a", 1.0), Answered("a", 1.0)]
    assert label_scores(answers, ["a", "b"], ["a", "b"])["calibration_error"] == 0.5


def test_a_generators_held_out_texts_and_tests_are_scored_by_their_bytes(data: Path, tmp_path: Path) -> None:
    (data / "other.tsv").write_text("9\t고양  고양\n")  # 13 bytes, as the model reads it
    recipe = recipe_of("generator", tests=[{"file": "other.tsv", "columns": ["rating", "text"]}])
    asked = []

    def answer(texts):
        asked.append(texts)
        return Likelihood(13 * math.log(2), 4, 1)

    scores = generation_scores(recipe, data, tmp_path / "run", answer, silent)
    assert [len(texts) for texts in asked] == [16, 1]
    assert scores["other"] == {"bits_per_byte": 1.0, "perplexity": round(2 ** (13 / 4), 2), "texts": 1}
    assert scores["held-out reviews"]["texts"] == 16


def test_pre_training_is_scored_by_held_out_words(data: Path, tmp_path: Path) -> None:
    plain = [{"file": "labelled.tsv", "columns": ["label", "text"]}]
    recipe = recipe_of("classifier", task="pretrain", tests=[], labels=[], corpora=plain)

    def answer(texts, seed):
        assert seed == recipe.seed
        assert all(first for first, _ in texts)
        return MaskedWords(1, 4, 4 * math.log(3))

    found = pretraining_scores(recipe, data, tmp_path / "run", answer, silent)
    assert found == {"held-out words": {"masked_word_accuracy": 0.25, "masked_word_perplexity": 3.0, "texts": 16}}
    with pytest.raises(ValueError, match="16 texts have no word to hide"):
        pretraining_scores(recipe, data, tmp_path / "run", lambda texts, seed: MaskedWords(0, 0, 0.0), silent)
