"""Recipes as files and manifests have them: read, with fields changed, and checked by their task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from models.training.recipe import Recipe
from models.training.sections import RecipeError
from models.training.tasks import TASKS, task_of


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """`changes` are fields that differ from the file's, such as `training.steps=100`.

    Raises RecipeError, which names the file and the field.
    """
    if not path.is_file():
        raise RecipeError(f"{path}: no such recipe")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    try:
        for each in changes:
            _change(values, each)
        return read_recipe(values)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def read_recipe(values: Any) -> Recipe:
    """From YAML, or from the manifest of a checkpoint that the recipe made. Raises RecipeError."""
    recipe = Recipe.read(values, "recipe")
    mine = task_of(recipe)
    for other in TASKS.values():
        for name in other.fields:
            if name not in mine.fields and getattr(recipe, name) != Recipe.model_fields[name].default:
                raise RecipeError(f"{name} is of {other.noun}, this recipe is to {mine.name}")
    mine.check(recipe)
    return recipe


def _change(values: Any, assignment: str) -> None:
    """Set one field of what YAML gave, in place: `training.steps=100`, `corpora.0.repeat=2`. The value is YAML, too.

    Raises RecipeError where there is no such place.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise RecipeError(f"{assignment!r} is not of the form field=value, such as training.steps=100")
    *parents, last = path.split(".")
    place = values
    for name in parents:
        place = _inside(place, name, path)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{assignment!r}: the value is not YAML: {error}") from error
    if isinstance(place, list):
        _inside(place, last, path)
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value if text.strip() else ""  # what is set to nothing is empty; null is null
    else:
        raise RecipeError(f"{path} leads nowhere: what should hold {last!r} is {place!r}")


def _inside(place: Any, name: str, path: str) -> Any:
    try:
        return place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    except (AttributeError, IndexError, ValueError) as error:
        raise RecipeError(f"{path} leads nowhere: there is no {name!r} in {place!r}") from error
