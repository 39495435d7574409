from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from models.checkpoint import sha256_of
from models.confidence import curves_in
from models.training.evaluation.likelihood import Likelihood, MaskedWords
from models.training.evaluation.scores import Answered, Written, label_scores
from models.training.evaluation.training_text import TrainingText
from models.training.loading import read_recipe
from models.training.recipe import Recipe
from models.training.tasks.classify import classification_scores
from models.training.tasks.generate import generation_scores
from models.training.tasks.pretrain import pretraining_scores
from models.training.tasks.translate import translation_scores
from tests import tiny_recipes


def recipe_of(name: str, **fields: object) -> Recipe:
    return read_recipe({**tiny_recipes.RECIPES[name], "training": tiny_recipes.TRAINING, **fields})


def silent(line: str) -> None:
    pass


def written(texts: list[str]) -> list[Written]:
    return [Written(text) for text in texts]


def test_translations_are_scored_by_file_direction_and_beams_with_any_answerer(data: Path) -> None:
    answers = dict(line.split("\t") for line in (data / "test.tsv").read_text().splitlines())
    asked = []

    def answer(texts, source, target, beams):
        asked.append((source, target, beams))
        return [Written(answers[text] if beams == 4 else "nothing alike") for text in texts]

    scores = translation_scores(recipe_of("translator", beams=[1, 4]), data, answer)
    assert asked == [("fr", "en", 1), ("fr", "en", 4)]
    assert scores["test fr-en, beam 4"].scores["bleu"] == pytest.approx(100)
    assert scores["test fr-en"].scores["bleu"] < 10
    assert "nc:6" in scores["test fr-en"].scores["chrf_signature"]


def test_both_directions_of_a_file_are_scored_apart(data: Path) -> None:
    tests = [{"file": "test.tsv", "columns": ["fr", "en"], "directions": ["fr-en", "en-fr"]}]
    asked = {}

    def answer(texts, source, target, beams):
        asked[source] = list(texts)
        return written(texts)

    assert translation_scores(recipe_of("translator", tests=tests), data, answer).keys() == {"test fr-en", "test en-fr"}
    lines = [line.split("\t") for line in (data / "test.tsv").read_text().splitlines()]
    assert asked == {"fr": [line[0] for line in lines], "en": [line[1] for line in lines]}


def test_rows_of_a_file_of_three_languages_are_scored_in_their_own_direction_alone(data: Path) -> None:
    (data / "three.tsv").write_text("le chat\tthe cat\t고양이\nun chien\ta dog\t개\n")
    tests = [{"file": "three.tsv", "columns": ["fr", "en", "ko"], "directions": ["fr-en", "ko-en"]}]
    asked = {}

    def answer(texts, source, target, beams):
        asked[source, target] = list(texts)
        return written(texts)

    translation_scores(recipe_of("translator", tests=tests), data, answer)
    assert asked == {("fr", "en"): ["le chat", "un chien"], ("ko", "en"): ["고양이", "개"]}


def test_the_far_sentences_of_a_test_have_a_score_of_their_own_that_no_other_version_is_judged_by(
    data: Path, tmp_path: Path
) -> None:
    (data / "test.tsv").write_text("le chat et un chien!\tthe cat and a dog.\nje suis fatigué\tI am tired\n")
    recipe = recipe_of("translator", beams=[1, 4])
    far = TrainingText(recipe, data, silent, tmp_path / "cache")
    scores = translation_scores(recipe, data, lambda texts, *rest: written(["I am tired"] * len(texts)), far)
    assert list(scores) == ["test fr-en", "test fr-en, far", "test fr-en, beam 4", "test fr-en, beam 4, far"]
    found = scores["test fr-en, far"]
    assert (found.scores["sentences"], scores["test fr-en"].scores["sentences"]) == (1, 2)
    assert found.scores["chrf"] == 100 > scores["test fr-en"].scores["chrf"]
    assert "Levenshtein similarity of 0.7 or more" in found.scores["subset"]
    assert found.scores["sha256"] == sha256_of(data / "test.tsv")
    assert found.judged is None


def test_what_a_translator_says_of_its_translations_becomes_a_curve_of_each_direction(data: Path) -> None:
    lines = [("le chat", "the cat"), ("un chien", "a dog"), ("je suis fatigué", "I am tired"), ("oui", "yes")] * 60
    (data / "test.tsv").write_text("".join(f"{fr} {n}\t{en} {n}\n" for n, (fr, en) in enumerate(lines)))
    answers = dict(line.split("\t") for line in (data / "test.tsv").read_text().splitlines())

    def answer(texts, source, target, beams):
        good = [number % 2 == 0 for number in range(len(texts))]
        return [Written(answers[t] if g else "no", -0.1 if g else -2.0) for t, g in zip(texts, good, strict=True)]

    scores = translation_scores(recipe_of("translator"), data, answer)["test fr-en"].scores
    curve = curves_in({"test fr-en": scores})["fr-en"]
    assert curve.at(-0.1) > 0.9 > 0.2 > curve.at(-2.0)
    assert scores["confidence"]["sentences"] == 240


def test_a_direction_that_nobody_answers_has_no_score(data: Path) -> None:
    assert translation_scores(recipe_of("translator"), data, lambda *asked: None) == {}


def test_parallel_files_are_named_after_the_first(data: Path) -> None:
    for column, language in enumerate(("fr", "en")):
        lines = [line.split("\t")[column] for line in (data / "test.tsv").read_text().splitlines()]
        (data / f"news.{language}").write_text("\n".join(lines) + "\n")
    tests = [{"files": {"fr": "news.fr", "en": "news.en"}, "columns": ["fr", "en"], "directions": ["fr-en"]}]
    scores = translation_scores(recipe_of("translator", tests=tests), data, lambda texts, *rest: written(texts))
    assert scores["news fr-en"].scores["sentences"] == 4


def test_labels_are_scored_by_file_with_any_answerer(data: Path) -> None:
    scores = classification_scores(
        recipe_of("classifier"), data, lambda texts, pairs: [Answered("positive", 0.5)] * len(texts)
    )
    assert scores.keys() == {"labelled.test"}
    found = scores["labelled.test"].scores
    assert (found["accuracy"], found["macro_f1"], found["calibration_error"]) == (0.5, round(2 / 3 / 2, 4), 0)
    assert (found["texts"], found["sha256"]) == (16, sha256_of(data / "labelled.test.tsv"))
    assert found["intervals"].keys() == {"accuracy", "macro_f1", "calibration_error"}
    assert found["intervals"]["accuracy"] == [0.28, 0.72]


def test_sure_and_wrong_is_a_calibration_error() -> None:
    answers = [Answered("a", 1.0), Answered("a", 1.0)]
    assert label_scores(answers, ["a", "b"], ["a", "b"]).scores["calibration_error"] == 0.5


def test_a_generators_held_out_texts_and_tests_are_scored_by_their_bytes(data: Path, tmp_path: Path) -> None:
    (data / "other.tsv").write_text("9\t고양  고양\n")  # 13 bytes, as the model reads it
    recipe = recipe_of("generator", tests=[{"file": "other.tsv", "columns": ["rating", "text"]}])
    asked = []

    def answer(texts):
        asked.append(texts)
        if len(texts) == 16:
            return Likelihood([9.0] * 16, [3] * 16, 16)
        return Likelihood([13 * math.log(2)], [4], 1)

    scores = generation_scores(recipe, data, tmp_path / "run", answer, silent)
    assert [len(texts) for texts in asked] == [16, 1]
    other = scores["other"].scores
    assert (other["bits_per_byte"], other["perplexity"], other["texts"]) == (1.0, round(2 ** (13 / 4), 2), 1)
    assert other["sha256"] == sha256_of(data / "other.tsv")
    held_out = scores["held-out reviews"].scores
    assert held_out["texts"] == 16
    assert held_out["sha256"] == hashlib.sha256("".join(f"{text}\n" for text in asked[0]).encode()).hexdigest()
    low, high = held_out["intervals"]["bits_per_byte"]
    assert low < held_out["bits_per_byte"] < high


def test_pre_training_is_scored_by_held_out_words(data: Path, tmp_path: Path) -> None:
    plain = [{"file": "labelled.tsv", "columns": ["label", "text"]}]
    recipe = recipe_of("classifier", task="pretrain", tests=[], labels=[], corpora=plain)

    def answer(texts, seed):
        assert seed == recipe.seed
        assert all(first for first, _ in texts)
        return MaskedWords([1, *[0] * 15], [4, *[0] * 15], [4 * math.log(3), *[0.0] * 15])

    found = pretraining_scores(recipe, data, tmp_path / "run", answer, silent)
    words = found["held-out words"].scores
    assert (words["masked_word_accuracy"], words["masked_word_perplexity"], words["texts"]) == (0.25, 3.0, 16)
    with pytest.raises(ValueError, match="16 texts have no word to hide"):
        pretraining_scores(recipe, data, tmp_path / "run", lambda texts, seed: MaskedWords([0], [0], [0.0]), silent)
