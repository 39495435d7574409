"""The scores a checkpoint is published with: on its recipe's own tests, by the serving engine in float32."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from models.checkpoint import Manifest, load, read_manifest
from models.registry import Registry
from models.training.evaluation.scores import Measured
from models.training.loading import read_recipe
from models.training.recipe import Recipe
from models.training.sections import Corpus
from service.scoring.tasks import MEASURED
from service.scoring.tasks.task import Scoring


def score(
    directory: Path, data: Path, registry: Registry, console: Console, *, limit: int | None = None
) -> dict[str, Measured]:
    """By test. `data` is the folder whose files the checkpoint's recipe names, `registry` has a generator's judge.

    Only the first `limit` rows of each test file are read. Raises CheckpointError, RecipeError, DataError,
    RegistryError, and ValueError where the engine cannot answer a text.
    """
    checkpoint = load(directory, base=registry.base)
    recipe = _recipe_of(checkpoint.manifest)
    if limit is not None:
        recipe = recipe.model_copy(update={"tests": tuple(_shortened(corpus, limit) for corpus in recipe.tests)})
    return _scores(Scoring(directory, checkpoint, recipe, directory, data, registry, console))


def score_alike(
    current: Path, directory: Path, data: Path, registry: Registry, console: Console
) -> dict[str, Measured]:
    """What the checkpoint `current` gets on the tests of the one in `directory`, text by text in the same order.

    It has no score on directions that it does not translate. A text that is too long for it is answered with nothing.
    Raises as `score`.
    """
    checkpoint = load(current, base=registry.base)
    new = read_manifest(directory)
    if not MEASURED[new.task].is_comparable(checkpoint.manifest, new):
        return {}
    return _scores(Scoring(current, checkpoint, _recipe_of(new), directory, data, registry, console))


def _scores(scoring: Scoring) -> dict[str, Measured]:
    manifest, recipe = scoring.checkpoint.manifest, scoring.recipe
    if manifest.task != recipe.task:
        raise ValueError(f"{manifest.name} is made to {manifest.task}, the tests are to {recipe.task}")
    return MEASURED[manifest.task].scores(scoring)


def _recipe_of(manifest: Manifest) -> Recipe:
    """Raises ValueError where there is none."""
    if "recipe" not in manifest.training:
        raise ValueError(f"{manifest.name} was made by no recipe, which would say what it is tested on: give --scores")
    return read_recipe(manifest.training["recipe"])


def _shortened(corpus: Corpus, limit: int) -> Corpus:
    return corpus.model_copy(update={"limit": limit if corpus.limit is None else min(limit, corpus.limit)})
