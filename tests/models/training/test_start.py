from pathlib import Path

import pytest
import torch

from models.architectures import build
from models.registry import Registry
from models.training.loading import read_recipe
from models.training.recipe import Recipe
from models.training.sections import RecipeError
from models.training.start import check_model, new_config, resolve_start, settle_weights
from tests import checkpoints, tiny_recipes

CLASSIFIER = {
    "name": "sentiment",
    "task": "classify",
    "start": "encoder",
    "labels": ["bad", "fair", "good"],
    "corpora": [{"file": "x.tsv", "columns": ["label", "text"], "labels": {"0": "bad"}}],
    "hold_out": 4,
    "training": {"steps": 1, "batch_tokens": 100, "learning_rate": 0.001, "warmup_steps": 0},
}


def recipe(**changes: object) -> Recipe:
    return read_recipe({**CLASSIFIER, **changes})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    checkpoints.classifier(tmp_path / "runs" / "encoder" / "checkpoint")
    return tmp_path / "runs"


def test_a_finished_run_gives_its_weights_and_its_tokenizer_but_for_the_labels(runs: Path) -> None:
    start = resolve_start(recipe(), runs, str(runs / "nowhere"))
    config = new_config(recipe(), start, start.tokenizer.vocab_size, Path("recipe.yaml"))
    assert config.labels == 3
    model = build(config)
    before = model.classifier.weight.clone()
    settle_weights(model, recipe(), start)
    begun = start.model.state_dict()
    for name, tensor in model.state_dict().items():
        if not name.startswith("classifier."):
            torch.testing.assert_close(tensor, begun[name], rtol=0, atol=0)
    assert torch.equal(model.classifier.weight, before)


def test_equal_labels_keep_the_label_projection(runs: Path) -> None:
    two = recipe(labels=["bad", "good"])
    start = resolve_start(two, runs, "nowhere")
    model = build(new_config(two, start, start.tokenizer.vocab_size, Path("recipe.yaml")))
    settle_weights(model, two, start)
    assert torch.equal(model.classifier.weight, start.model.classifier.weight)


def test_a_published_version_is_a_start_too(runs: Path, tmp_path: Path) -> None:
    Registry(tmp_path / "registry").publish("published", runs / "encoder" / "checkpoint")
    start = resolve_start(recipe(start="published@1"), runs, str(tmp_path / "registry"))
    run = resolve_start(recipe(), runs, "nowhere")
    assert start.manifest.weights_sha256 == run.manifest.weights_sha256


def test_dropout_may_change_and_a_shape_may_not(runs: Path) -> None:
    start = resolve_start(recipe(), runs, "nowhere")
    changed = new_config(recipe(model={"dropout": 0.3}), start, start.tokenizer.vocab_size, Path("recipe.yaml"))
    assert changed.dropout == 0.3
    with pytest.raises(RecipeError, match=r"recipe.yaml: model.layers is 7, but encoder has 2"):
        new_config(recipe(model={"layers": 7}), start, start.tokenizer.vocab_size, Path("recipe.yaml"))


def test_what_is_neither_a_run_nor_published_is_said(runs: Path) -> None:
    with pytest.raises(RecipeError, match=r"start is 'nobody': no finished run .*nobody"):
        resolve_start(recipe(start="nobody"), runs, str(runs / "nowhere"))


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        ("generator", {"model": {"widht": 32}}, r"model has no field 'widht' \(did you mean 'width'\?\); known are "),
        ("generator", {"model": {"width": "wide"}}, "model.width is 'wide', expected a valid integer"),
        ("generator", {"model": {"heads": 5}}, "width 32 is not a multiple of heads 5"),
        ("generator", {"model": {"layers": None}}, "model.layers is None, expected a valid integer"),
        (
            "generator",
            {"model": {"architecture": "gtp"}},
            "architecture is 'gtp', a recipe to generate takes 'gpt'",
        ),
        ("classifier", {"model": {"architecture": "gpt"}}, "is 'gpt', a recipe to classify takes 'bert'"),
        ("translator", {"tokenizer": {"kind": "wordpiece"}}, "is 'wordpiece', a recipe to translate takes 'byte_bpe'"),
        ("translator", {"tokenizer": {"vocab_size": 261}}, "tokenizer.vocab_size is 261, expected at least 262"),
        ("classifier", {"tokenizer": {"vocab_size": 5}}, "tokenizer.vocab_size is 5, expected at least 6"),
    ],
)
def test_a_model_that_cannot_be_built_is_known_from_the_recipe_alone(name, changes, complaint) -> None:
    values = tiny_recipes.RECIPES[name]
    wrong = read_recipe({**values, **{key: {**values[key], **fields} for key, fields in changes.items()}})
    with pytest.raises(RecipeError, match=f"^own.yaml: .*{complaint}"):
        check_model(wrong, None, Path("own.yaml"))


def test_what_a_task_cannot_start_from_is_refused(runs: Path) -> None:
    values = {**tiny_recipes.GENERATOR, "model": {}, "tokenizer": None, "start": "encoder"}
    wrong = read_recipe(values)
    with pytest.raises(RecipeError, match="start: encoder is 'bert', a recipe to generate takes 'gpt'"):
        check_model(wrong, resolve_start(wrong, runs, "nowhere"), Path("own.yaml"))
    misspelt = recipe(model={"widht": 7})
    with pytest.raises(RecipeError, match="model has no field 'widht'"):
        check_model(misspelt, resolve_start(misspelt, runs, "nowhere"), Path("own.yaml"))
