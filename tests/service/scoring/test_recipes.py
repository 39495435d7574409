from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from models.checkpoint import load, read_manifest, write_manifest
from models.registry import Registry, RegistryError
from models.training.data.splits import read_splits
from models.training.evaluation.likelihood import text_likelihood
from models.training.evaluation.metrics import bits_per_byte
from models.training.recipe import Recipe
from service.scoring import score

OfRecipe = Callable[..., Path]
PLAIN = [{"file": "labelled.tsv", "columns": ["label", "text"]}]


def scores_of(directory: Path, data: Path, registry: Path = Path("no-registry")) -> dict[str, Any]:
    return score(directory, data, Registry(registry), Console(quiet=True))


def test_a_translators_scores_are_by_file_direction_and_beam_width(of_recipe: OfRecipe, data: Path) -> None:
    scores = scores_of(of_recipe("translator", beams=[1, 2]), data)
    assert scores.keys() == {"test fr-en", "test fr-en, beam 2"}
    for found in scores.values():
        assert found.keys() == {"bleu", "chrf", "signature", "chrf_signature", "sentences"}
        assert found["sentences"] == 4
        assert "tok:13a" in found["signature"]


def test_a_classifiers_scores_have_its_macro_f1_and_calibration(of_recipe: OfRecipe, data: Path) -> None:
    scores = scores_of(of_recipe("classifier"), data)
    assert scores.keys() == {"labelled.test"}
    found = scores["labelled.test"]
    assert found.keys() == {"accuracy", "macro_f1", "calibration_error", "texts"}
    assert found["texts"] == 16
    assert 0 <= found["macro_f1"] <= 1


def test_tests_of_the_same_file_are_one(of_recipe: OfRecipe, data: Path) -> None:
    one = {"file": "labelled.test.tsv", "columns": ["label", "text"]}
    tests = [{**one, "labels": {"0": "negative"}}, {**one, "labels": {"1": "positive"}}]
    assert scores_of(of_recipe("classifier", tests=tests), data)["labelled.test"]["texts"] == 16


def test_a_generators_score_is_bits_per_byte_of_the_texts_its_recipe_holds_out(of_recipe: OfRecipe, data: Path) -> None:
    directory = of_recipe("generator")
    scores = scores_of(directory, data)
    checkpoint = load(directory)
    recipe = Recipe.from_dict(checkpoint.manifest.training["recipe"])
    held_out = read_splits(recipe, data, directory.parent / "again", lambda line: None).validation
    texts = [row.target for row in held_out]
    nats = text_likelihood(checkpoint.model, checkpoint.tokenizer, checkpoint.config, texts).nats
    found = scores["held-out reviews"]
    assert found["texts"] == 16
    assert found["bits_per_byte"] == pytest.approx(bits_per_byte(nats, texts), rel=1e-3)
    assert found["perplexity"] > 1


def test_a_generator_is_scored_on_the_recipes_test_files_too(of_recipe: OfRecipe, data: Path) -> None:
    (data / "other.tsv").write_text("9\t정말 좋아요 무척\n")
    tests = [{"file": "other.tsv", "columns": ["rating", "text"]}]
    scores = scores_of(of_recipe("generator", tests=tests), data)
    assert scores["other"]["texts"] == 1


def test_a_generators_samples_are_judged_by_the_classifier_of_the_registry(
    of_recipe: OfRecipe, made: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    registry = tmp_path / "registry"
    for _ in range(2):
        Registry(registry).publish("classifier", made["classifier"])
    prompts = {"<rating:2>": "negative", "<rating:9>": "positive"}
    steering = {"judge": "classifier", "prompts": prompts, "samples": 3}
    found = scores_of(of_recipe("generator", steering=steering), data, registry)
    assert found.keys() == {"held-out reviews", "steering"}
    assert found["steering"]["samples"] == 6
    assert found["steering"]["judge"] == "classifier@2"
    assert found["steering"]["asked"] == "<rating:2>=negative, <rating:9>=positive"
    assert found["steering"]["decoding"] == "temperature 1, top_p 1"
    assert 0 <= found["steering"]["agreement"] <= 1
    assert "clean" not in found["steering"]


def test_a_generators_samples_are_read_for_the_words_that_it_was_not_trained_on(
    of_recipe: OfRecipe, made: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    Registry(tmp_path / "registry").publish("classifier", made["classifier"])
    steering = {"judge": "classifier", "prompts": {"<rating:9>": "positive"}, "samples": 20}
    shares = []
    for letters in ("abcdefghijklmnopqrstuvwxyz", "쀍"):
        directory = of_recipe("generator", steering=steering, cleaning={"blocked": list(letters)})
        shares.append(scores_of(directory, data, tmp_path / "registry")["steering"]["clean"])
    assert shares[0] < 0.5, "random bytes have letters"
    assert shares[1] == 1, "and hardly a syllable"


def test_texts_that_no_label_fits_are_to_be_answered_with_little_confidence(of_recipe: OfRecipe, data: Path) -> None:
    tests = [{"file": "labelled.test.tsv", "columns": ["_", "text"]}]
    found = scores_of(of_recipe("classifier", tests=tests), data)["labelled.test"]
    assert found == {"unsure": 1.0, "confidence_below": 0.8, "texts": 16}  # random weights are sure of nothing


def test_a_judge_that_is_not_in_the_registry_is_named(of_recipe: OfRecipe, data: Path, tmp_path: Path) -> None:
    steering = {"judge": "critic", "prompts": {"<rating:2>": "negative"}}
    with pytest.raises(RegistryError, match="no model 'critic'"):
        scores_of(of_recipe("generator", steering=steering), data, tmp_path)


def test_the_folder_of_the_run_keeps_the_data_and_none_is_left_behind_without_it(
    of_recipe: OfRecipe, data: Path
) -> None:
    directory = of_recipe("generator")
    scores_of(directory, data)
    assert {path.name for path in directory.parent.iterdir()} == {"checkpoint"}
    (directory.parent / "tokenizer.json").write_bytes((directory / "tokenizer.json").read_bytes())
    scores_of(directory, data)
    assert (directory.parent / "data").is_dir()


def test_a_test_text_the_engine_refuses_is_said_rather_than_left_out(of_recipe: OfRecipe, data: Path) -> None:
    (data / "labelled.test.tsv").write_text("1\t" + "정말 " * 200 + "\n")
    with pytest.raises(ValueError, match=r"no answer to '정말.*the limit is 64"):
        scores_of(of_recipe("classifier"), data)


def test_an_encoders_pre_training_is_scored_by_the_words_it_guesses(of_recipe: OfRecipe, data: Path) -> None:
    directory = of_recipe("classifier", task="pretrain", tests=[], labels=[], corpora=PLAIN)
    write_manifest(directory, dataclasses.replace(read_manifest(directory), task="pretrain", labels=()))
    found = scores_of(directory, data)["held-out words"]
    assert found.keys() == {"masked_word_accuracy", "masked_word_perplexity", "texts"}
    assert found["texts"] == 16
