from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from models.checkpoint import load, read_manifest, write_manifest
from models.registry import Registry, RegistryError
from models.training.evaluation.likelihood import text_likelihood
from models.training.evaluation.metrics import bits_per_byte
from models.training.loading import read_recipe
from service.scoring import score, score_alike
from service.scoring.measuring import measure
from service.scoring.options import Options
from tests.models.training.reading import read_splits
from tests.service.scoring.conftest import shown

OfRecipe = Callable[..., Path]
PLAIN = [{"file": "labelled.tsv", "columns": ["label", "text"]}]


def scores_of(directory: Path, data: Path, registry: Path = Path("no-registry")) -> dict[str, Any]:
    found = score(directory, data, Registry(registry), Console(quiet=True))
    return {test: each.scores for test, each in found.items()}


def test_a_translators_scores_are_by_file_direction_and_beam_width(of_recipe: OfRecipe, data: Path) -> None:
    scores = scores_of(of_recipe("translator", beams=[1, 2]), data)
    assert scores.keys() == {"test fr-en", "test fr-en, beam 2"}  # none is far: all have a twin in train.tsv
    for found in scores.values():
        assert found.keys() == {
            "bleu", "chrf", "intervals", "signature", "chrf_signature", "sentences", "sha256",
        }  # fmt: skip
        assert found["sentences"] == 4
        assert "tok:13a" in found["signature"]


def test_the_far_sentences_are_scored_apart_where_the_training_text_is_there_and_else_it_is_said(
    of_recipe: OfRecipe, data: Path, console: Console
) -> None:
    with (data / "test.tsv").open("a") as file:
        file.write("je suis fatigué\tI am tired\n")
    directory = of_recipe("translator")
    scores = scores_of(directory, data)
    assert (scores["test fr-en"]["sentences"], scores["test fr-en, far"]["sentences"]) == (5, 1)
    (data / "train.tsv").unlink()
    assert score(directory, data, Registry("none"), console).keys() == {"test fr-en"}
    said = " ".join(shown(console).split())
    assert "Not told apart by what it was trained on: " in said
    assert "train.tsv: no such file" in said


def test_the_current_version_answers_the_tests_of_the_new_one_text_by_text(
    of_recipe: OfRecipe, made: dict[str, Path], data: Path
) -> None:
    tests = [{"file": "test.tsv", "columns": ["fr", "en"], "directions": ["fr-en", "en-fr"]}]
    directory = of_recipe("translator", tests=tests)
    manifest = read_manifest(made["translator"])
    write_manifest(made["translator"], dataclasses.replace(manifest, language_pairs=(("fr", "en"),)))
    try:
        found = score_alike(made["translator"], directory, data, Registry("none"), Console(quiet=True))
    finally:
        write_manifest(made["translator"], manifest)
    assert found.keys() == {"test fr-en"}  # the other direction is new
    measure, sample = found["test fr-en"].judged
    assert (measure, len(sample.statistics_NS)) == ("bleu", 4)
    assert found["test fr-en"].scores == scores_of(directory, data)["test fr-en"]  # the same weights


def test_a_text_that_is_too_long_for_the_current_version_is_one_that_it_gets_wrong(
    of_recipe: OfRecipe, made: dict[str, Path], data: Path
) -> None:
    (data / "labelled.test.tsv").write_text("1\t" + "정말 " * 200 + "\n0\t돈이 아깝다\n")
    directory = of_recipe("classifier")
    found = score_alike(made["classifier"], directory, data, Registry("none"), Console(quiet=True))
    _, sample = found["labelled.test"].judged
    assert sample.statistics_NS[0].tolist() == [0, 1]


def test_an_encoder_with_another_vocabulary_has_nothing_to_compare(
    of_recipe: OfRecipe, made: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    directory = of_recipe("classifier", task="pretrain", tests=[], labels=[], corpora=PLAIN)
    write_manifest(directory, dataclasses.replace(read_manifest(directory), task="pretrain", labels=()))
    other = tmp_path / "other"
    shutil.copytree(directory, other)
    assert score_alike(other, directory, data, Registry("none"), Console(quiet=True)).keys() == {"held-out words"}
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text + "\n")
    write_manifest(other, read_manifest(other))
    assert score_alike(other, directory, data, Registry("none"), Console(quiet=True)) == {}


def test_a_checkpoint_that_no_recipe_made_cannot_be_scored(made: dict[str, Path], data: Path) -> None:
    with pytest.raises(ValueError, match="translator was made by no recipe"):
        scores_of(made["translator"], data)


def test_a_classifiers_scores_have_its_macro_f1_and_calibration(
    of_recipe: OfRecipe, data: Path, console: Console
) -> None:
    directory = of_recipe("classifier")
    scores = scores_of(directory, data)
    assert scores.keys() == {"labelled.test"}
    found = scores["labelled.test"]
    assert found.keys() == {"accuracy", "macro_f1", "calibration_error", "intervals", "texts", "sha256"}
    assert found["texts"] == 16
    options = Options(data=data / "labelled.test.tsv", columns=("label", "text"), precision="float32")
    measured = measure(directory, options, console)["scores"]
    for name in ("accuracy", "macro_f1", "calibration_error", "intervals"):
        assert found[name] == measured[name], name


def test_tests_of_the_same_file_are_one(of_recipe: OfRecipe, data: Path) -> None:
    one = {"file": "labelled.test.tsv", "columns": ["label", "text"]}
    tests = [{**one, "labels": {"0": "negative"}}, {**one, "labels": {"1": "positive"}}]
    assert scores_of(of_recipe("classifier", tests=tests), data)["labelled.test"]["texts"] == 16


def test_a_generators_score_is_bits_per_byte_of_the_texts_its_recipe_holds_out(of_recipe: OfRecipe, data: Path) -> None:
    directory = of_recipe("generator")
    scores = scores_of(directory, data)
    checkpoint = load(directory)
    recipe = read_recipe(checkpoint.manifest.training["recipe"])
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
    low, high = found["steering"]["intervals"]["agreement"]
    assert 0 <= low <= found["steering"]["agreement"] <= high <= 1
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
    assert found["unsure"] == 1.0  # random weights are sure of nothing
    assert found["confidence_below"] == 0.8
    assert found["texts"] == 16


def test_a_judge_that_is_not_in_the_registry_is_named(of_recipe: OfRecipe, data: Path, tmp_path: Path) -> None:
    steering = {"judge": "critic", "prompts": {"<rating:2>": "negative"}}
    with pytest.raises(RegistryError, match="no model 'critic'"):
        scores_of(of_recipe("generator", steering=steering), data, tmp_path)


def test_the_folder_of_the_run_keeps_the_data_and_none_is_left_behind_without_it(
    of_recipe: OfRecipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, elsewhere = of_recipe("generator"), tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    scores_of(directory, data)
    assert {path.name for path in directory.parent.iterdir()} == {"checkpoint"}
    assert list(elsewhere.iterdir()) == []
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
    assert found.keys() == {"masked_word_accuracy", "masked_word_perplexity", "intervals", "texts", "sha256"}
    assert found["texts"] == 16
