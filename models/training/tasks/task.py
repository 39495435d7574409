"""What the training job has to know of a task: one subclass for each, a module each in this folder.

Whoever works for every task (reading, encoding, the loop, cards) is given one of these and asks it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from models.checkpoint import Manifest
from models.config import Config, Kind
from models.tokenizer import Tokenizer
from models.training.data.examples import Encoded, Examples
from models.training.data.rows import ReadingTask, TextRow
from models.training.evaluation.validation import Judge
from models.training.objectives import Objective
from models.training.recipe import Recipe
from models.training.sections import RecipeError, TokenizerKind


class Task(ReadingTask):
    name: str
    noun: str  # of a model that does it: "a translator"
    does: str  # such a model: "translates text"
    hub_name: str  # of the task, on the Hugging Face hub
    kind: Kind  # of architectures that learn it
    tokenizer: TokenizerKind
    fields: frozenset[str] = frozenset()  # of a recipe that other tasks' recipes have to leave alone
    teachers_write: bool = True  # columns of the corpora; or else they say how likely each label is

    def check(self, recipe: Recipe) -> None:
        """What a recipe of this task needs. Raises RecipeError."""
        if recipe.distillation and self.teachers_write and not recipe.has_written_columns:
            raise RecipeError("distillation has teachers, but no corpus has a written column for them")

    @abstractmethod
    def encode(self, recipe: Recipe, tokenizer: Tokenizer, row: TextRow, longest: tuple[int, int]) -> Encoded:
        """A row as ids, at most `longest` of a source and of a target; `tokenizer` knows the row's normalized texts."""

    # What is learned.

    def config_fields(self, recipe: Recipe) -> dict[str, Any]:
        """Of the model's config that are not the recipe's to choose."""
        return {}

    def longest(self, config: Config) -> tuple[int, int]:
        """Most ids that a source and a target may have."""
        return config.max_prompt, config.max_output

    @abstractmethod
    def objective(self, recipe: Recipe, config: Any, tokenizer: Tokenizer) -> Objective:
        """`config` is of this task's kind of architectures."""

    def judge(
        self, recipe: Recipe, config: Any, tokenizer: Tokenizer, rows: Sequence[TextRow], examples: Examples
    ) -> Judge | None:
        """`rows` are held out, `examples` what became of them. None where there is nothing to ask for.

        Raises RecipeError where `patience` counts by a score that cannot be computed.
        """
        return None

    def head(self, model: Any) -> Sequence[str]:
        """How the names of weights begin that are learned anew beside adapters."""
        return ()

    # What is said of it.

    def takes_pairs(self, recipe: Recipe) -> bool:
        """Whether it learns from pairs of texts, and answers them."""
        return False

    def request(self, manifest: Manifest) -> str:
        """What a request looks like, as JSON."""
        return '{"inputs": "..."}'
