from __future__ import annotations

import ast
from pathlib import Path

import pytest

import models.training
import service.commands
import service.scoring
from models import checkpoint
from models.architectures import ARCHITECTURES
from models.training.loading import read_recipe
from models.training.recipe import Recipe
from models.training.sections import RecipeError
from models.training.tasks import DRAFTED, TASKS
from service.scoring.tasks import MEASURED
from service.worker.tasks import TASKS as SERVED
from service.worker.tasks import task_for
from tests import tiny_recipes

NAMES = {"translate", "generate", "classify", "pretrain"}


def test_what_is_trained_is_what_the_served_tasks_are_made_from():
    assert set(TASKS) == {made for task in SERVED.values() for made in task.REQUEST.made_for} == set(checkpoint.TASKS)
    for made in TASKS:
        manifest = checkpoint.Manifest(name="m", architecture="bert", task=made, version=1)
        assert task_for(manifest)[0] == manifest.served_as
    assert set(MEASURED) == set(TASKS)
    assert set(DRAFTED) == set(TASKS) & set(SERVED)
    for tasks in (TASKS, DRAFTED, MEASURED):
        assert all(task.name == name for name, task in tasks.items())  # type: ignore[attr-defined]


def test_an_unknown_task_is_refused_by_name_with_the_known_ones():
    with pytest.raises(RecipeError) as refusal:
        read_recipe({**tiny_recipes.GENERATOR, "task": "summarize"})
    assert "recipe.task is 'summarize'" in str(refusal.value)
    assert all(repr(name) in str(refusal.value) for name in TASKS)


def test_every_task_has_architectures_of_its_kind_and_fields_that_recipes_have():
    for task in TASKS.values():
        assert any(config.kind == task.kind for config, _ in ARCHITECTURES.values())
        assert task.fields <= set(Recipe.model_fields)


def test_what_is_of_one_task_is_refused_in_the_recipes_of_the_others():
    fields = {
        "variation": {"capitals": 0.1}, "packing": "blocks", "steering": {"judge": "x", "prompts": {"a": "b"}},
        "frozen_encoder": True, "word_dropout": 0.1, "calibrate": True, "chat_template": "{{ messages }}",
    }  # fmt: skip
    assert set(fields) == set().union(*(task.fields for task in TASKS.values()))
    for values in tiny_recipes.RECIPES.values():
        for name, value in fields.items():
            (owner,) = (task for task in TASKS.values() if name in task.fields)
            if owner.name != values["task"]:
                with pytest.raises(RecipeError, match=f"^{name} is of {owner.noun}, this recipe is to"):
                    read_recipe({**values, name: value})


PLACES = [
    path
    for package in (models.training, service.scoring, service.commands)
    for path in sorted(Path(package.__file__ or "").parent.rglob("*.py"))
    if path.parent.name != "tasks"
]


@pytest.mark.parametrize(
    "path", [*PLACES, Path(checkpoint.__file__)], ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_nobody_but_a_tasks_own_module_asks_which_task_it_is(path: Path):
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare | ast.Match):
            found += [node.lineno for part in ast.walk(node) if isinstance(part, ast.Constant) and part.value in NAMES]
        elif isinstance(node, ast.Dict):  # of tasks, by name
            found += [node.lineno for key in node.keys if isinstance(key, ast.Constant) and key.value in NAMES]
    assert found == []
