"""What models are trained to do: a module for each task, and one dict of them."""

from __future__ import annotations

from models.training.draft import DraftedTask
from models.training.recipe import Recipe
from models.training.sections import RecipeError
from models.training.tasks.classify import CLASSIFY
from models.training.tasks.generate import GENERATE
from models.training.tasks.pretrain import PRETRAIN
from models.training.tasks.task import Task
from models.training.tasks.translate import TRANSLATE

TASKS: dict[str, Task] = {task.name: task for task in (TRANSLATE, GENERATE, CLASSIFY, PRETRAIN)}
# Of which a file that somebody has can be made a recipe.
DRAFTED: dict[str, DraftedTask] = {name: task for name, task in TASKS.items() if isinstance(task, DraftedTask)}

__all__ = ["DRAFTED", "TASKS", "Task", "task_of"]


def task_of(recipe: Recipe) -> Task:
    """Raises RecipeError for a task that nobody knows."""
    if recipe.task not in TASKS:
        known = ", ".join(map(repr, TASKS))
        raise RecipeError(f"recipe.task is {recipe.task!r}, expected one of {known}")
    return TASKS[recipe.task]
