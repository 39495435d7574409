import json
from pathlib import Path

import pytest
import yaml

import models.training
from models import checkpoint
from models.registry import Registry
from models.training.loading import load_recipe, read_recipe
from models.training.recipe import Recipe
from models.training.sections import RecipeError
from models.training.tasks import TASKS, task_of

SHIPPED = sorted((Path(models.training.__file__).parent / "recipes").glob("*.yaml"))
WRITTEN = {"file": "mono.tsv", "columns": ["en"], "directions": ["fr-en"], "written": {"fr": "en"}}


def test_there_is_a_recipe_for_each_task():
    assert {load_recipe(path).task for path in SHIPPED} == set(TASKS)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_names_its_data_relatively_and_its_licence(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert all((recipe.licence, recipe.data, recipe.attribution))
    assert not any(Path(corpus.file).is_absolute() for corpus in (*recipe.corpora, *recipe.validation, *recipe.tests))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_recipe_survives_the_manifest(path):
    recipe = load_recipe(path)
    assert read_recipe(json.loads(json.dumps(recipe.model_dump()))) == recipe


def test_language_pairs_are_those_of_the_corpora(write_recipe, recipes):
    assert load_recipe(write_recipe(recipes["translator"])).language_pairs == (("en", "fr"), ("fr", "en"))


def takes_pairs(recipe: Recipe) -> bool:
    return task_of(recipe).takes_pairs(recipe)


def test_a_classifier_of_pairs_is_one_whose_texts_have_a_second(write_recipe, recipes):
    recipe = recipes["classifier"]
    assert not takes_pairs(load_recipe(write_recipe(recipe)))
    paired = {**recipe, "corpora": [{**recipe["corpora"][0], "columns": ["label", "text", "pair"]}]}
    assert takes_pairs(load_recipe(write_recipe(paired)))
    encoder = {**recipes["encoder"], "corpora": [{"file": "rated.tsv", "columns": ["text", "pair"]}]}
    assert not takes_pairs(load_recipe(write_recipe(encoder)))


def test_the_shipped_checkpoints_have_the_examples_of_their_recipes():
    registry = Registry(Path(models.training.__file__).parents[1] / "checkpoints")
    for name in ("translator", "generator", "classifier"):
        recipe = load_recipe(next(path for path in SHIPPED if path.stem == name))
        assert checkpoint.read_manifest(registry.resolve(name)).examples == recipe.examples != {}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"paintwork": "blue"}, "recipe has no field 'paintwork'; known are name"),
        ({"task": "summarize"}, "recipe.task is 'summarize', expected one of 'translate'"),
        ({"corpora": []}, "corpora is empty"),
        ({"corpora": [{"file": "a.tsv", "columns": ["fr", "en"]}]}, "needs directions"),
        (
            {"corpora": [{"file": "a.tsv", "columns": ["fr", "en"], "directions": ["fr-de"]}]},
            "direction 'fr-de' is not",
        ),
        ({"corpora": [{"file": "a.tsv", "columns": "fr"}]}, r"recipe.corpora\[0\].columns is 'fr', expected a list"),
        ({"corpora": [{"columns": ["fr", "en"]}]}, "a corpus has either a file or files"),
        ({"corpora": [{"file": "a.tsv", "files": {"fr": "a"}, "columns": ["fr"]}]}, "either a file or files"),
        ({"corpora": [{"files": {"fr": "a", "en": "b"}, "columns": ["fr", "de"]}]}, "files are of the columns"),
        ({"corpora": [{"file": "fra.txt", "columns": ["en", "fr"]}]}, "give its format: the suffix '.txt'"),
        ({"corpora": [{"file": "a.tsv", "columns": ["fr"], "header": False}]}, "delimiter and header are of csv"),
        (
            {"corpora": [{"file": "a.csv", "columns": ["fr"], "delimiter": "::"}]},
            "delimiter is '::', expected one char",
        ),
        ({"corpora": [{"file": "a.csv", "columns": ["fr"], "names": {"en": "x"}}]}, "names has 'en', which is none of"),
        ({"hold_out": 5}, "give either validation files or hold_out"),
        ({"start": "other"}, "give either a model and a tokenizer, or start"),
        ({"frozen_encoder": True}, "frozen_encoder is of a classifier, this recipe is to translate"),
        ({"examples": {"One text": "a text"}}, "examples.One text is 'a text', expected a request, such as"),
        ({"beams": [0]}, r"beams\[0\] is 0, expected at least 1"),
        ({"steering": {"judge": "classifier", "prompts": {}}}, "steering has no prompts, such as"),
        ({"steering": {"judge": "classifier", "prompts": {"x": "y"}}}, "steering is of a generator, this recipe is to"),
        ({"steering": {"judge": "c", "prompts": {"x": "y"}, "samples": 0}}, "samples is 0, expected at least 1"),
        ({"cleaning": {"max_length_ratio": 0.5}}, "max_length_ratio is 0.5, expected at least 1"),
        ({"distillation": {"teachers": ["t"]}}, "distillation has teachers, but no corpus has a written column"),
        ({"corpora": [WRITTEN]}, "corpora have written columns, but there is no distillation"),
        ({"tests": [WRITTEN]}, "validation files and tests are not written by a model"),
        (
            {"corpora": [{**WRITTEN, "written": {"fr": "de"}}]},
            "'fr' is to be written of 'de', which no column",
        ),
        ({"word_dropout": -1}, "word_dropout is -1, expected at least 0"),
        ({"word_dropout": 0.1}, "word_dropout is of a classifier, this recipe is to"),
        ({"mask_rate": 1}, "mask_rate is 1, expected less than 1"),
        ({"cleaning": {"min_distinct": 2}}, "min_distinct is 2, expected at most 1"),
        ({"seed": "one"}, "recipe.seed is 'one', expected a valid integer"),
        (
            {"training": {"steps": 1}},
            "recipe.training.batch_tokens is missing; recipe.training.learning",
        ),
    ],
)
def test_a_wrong_field_is_named(tmp_path, recipes, changes, complaint):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**recipes["translator"], **changes}))
    with pytest.raises(RecipeError, match=complaint) as refusal:
        load_recipe(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("training", "complaint"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0, expected less than 1"),
        ({"max_minutes": 0}, "max_minutes is 0, expected more than 0"),
        ({"schedule": "linear"}, "recipe.training.schedule is 'linear', expected 'cosine' or 'inverse_sqrt'"),
        ({"accumulate": 0}, "accumulate is 0, expected at least 1"),
        ({"matrix_learning_rate": 0}, "matrix_learning_rate is 0, expected more than 0"),
        ({"average_decay": 0.9, "average_last": 3}, "choose one way of averaging"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast', expected a valid number"),
    ],
)
def test_a_wrong_training_field_is_named(write_recipe, recipes, training, complaint):
    with pytest.raises(RecipeError, match=complaint):
        load_recipe(write_recipe(recipes["translator"], **training))


def test_a_number_that_yaml_takes_for_a_text_is_a_number(write_recipe, recipes):
    recipe = load_recipe(write_recipe(recipes["translator"]), ["training.learning_rate=1e-3"])
    assert recipe.training.learning_rate == 0.001


def test_fields_can_be_changed_without_another_file(write_recipe, recipes):
    path = write_recipe(recipes["translator"])
    changes = ["training.steps=7", "corpora.0.limit=3", "model.dropout=0.25", "name=trial", "start="]
    recipe = load_recipe(path, changes)
    assert (recipe.training.steps, recipe.corpora[0].limit, recipe.model["dropout"]) == (7, 3, 0.25)
    assert (recipe.name, recipe.start) == ("trial", "")


def test_a_state_depends_on_what_is_learned_and_not_on_budgets_cards_or_what_is_done_later(recipes):
    learned = read_recipe(recipes["generator"]).learned_from
    stated = {name: value for name, value in recipes["generator"].items() if name not in ("training", "name")}
    assert {name: learned[name] for name in stated} == stated
    assert learned.keys() == {*recipes["generator"]}
    assert learned["training"].keys() == {"batch_tokens", "learning_rate", "warmup_steps", "average_decay"}
    later = {"licence": "MIT", "examples": {"One": {"inputs": "a"}}, "beams": [1, 4], "limits": "none"}
    assert read_recipe({**recipes["generator"], **later}).learned_from == learned
    assert read_recipe({**recipes["generator"], "seed": 2}).learned_from != learned


def test_a_limit_can_be_lifted_without_another_file(write_recipe, recipes):
    path = write_recipe(recipes["translator"], max_minutes=57)
    assert load_recipe(path).training.max_minutes == 57
    assert load_recipe(path, ["training.max_minutes=null"]).training.max_minutes is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("training.steps", "'training.steps' is not of the form field=value"),
        ("corpora.4.repeat=2", "corpora.4.repeat leads nowhere: there is no '4'"),
        ("name.first=x", "name.first leads nowhere: what should hold 'first' is 'translator'"),
        ("training.steps=[", "the value is not YAML"),
        ("training.steps=many", "recipe.training.steps is 'many', expected a valid integer"),
        ("training.pace=1", "recipe.training has no field 'pace'"),
    ],
)
def test_a_change_that_cannot_be_made_is_named(write_recipe, recipes, change, complaint):
    path = write_recipe(recipes["translator"])
    with pytest.raises(RecipeError, match=complaint) as refusal:
        load_recipe(path, [change])
    assert str(path) in str(refusal.value)


def test_a_frozen_encoder_is_one_that_was_trained_before(write_recipe, recipes):
    with pytest.raises(RecipeError, match="frozen_encoder is for a classifier that starts from a pre-trained encoder"):
        load_recipe(write_recipe({**recipes["classifier"], "frozen_encoder": True}))


def test_a_label_that_the_model_does_not_have_is_named(write_recipe, recipes):
    with pytest.raises(RecipeError, match=r"labels \['negative'\] are not among the recipe's \['positive'\]"):
        load_recipe(write_recipe({**recipes["classifier"], "labels": ["positive"]}))


def test_a_classifier_may_leave_its_labels_to_the_data(write_recipe, recipes):
    corpus = {"file": "labelled.tsv", "columns": ["label", "text"]}
    recipe = load_recipe(write_recipe({**recipes["classifier"], "labels": [], "corpora": [corpus]}))
    assert (recipe.labels, recipe.corpora[0].labels) == ((), {})


def test_a_missing_file_and_bad_yaml_are_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none.yaml: no such recipe"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(RecipeError, match=r"bad.yaml: not YAML"):
        load_recipe(tmp_path / "bad.yaml")
