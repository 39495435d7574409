"""What a run begins with: the weights and the tokenizer of another run, or of a published checkpoint; and its lineage.

Knows nothing of data or training.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import checkpoint
from models.architectures import ARCHITECTURES
from models.checkpoint import Checkpoint, FindBase, Manifest
from models.config import Config, ConfigError
from models.lineage import ADAPTS, BACK_TRANSLATED_BY, DISTILLED_FROM, STARTS_FROM, Ancestor, ancestor
from models.lora import attach, freeze_all_but_adapters
from models.registry import Registry, RegistryError
from models.tokenizer import SPECIAL_TOKENS, WORDPIECE_SPECIAL_TOKENS
from models.training.fields import section_of
from models.training.recipe import Recipe
from models.training.sections import RecipeError, TokenizerRecipe
from models.training.tasks import Task, task_of

_LABEL_WEIGHTS = "classifier."  # of another task's labels: these begin anew
_MAY_CHANGE = ("dropout",)  # fields of a config that no weight depends on


def resolve_start(recipe: Recipe, runs: Path, registry: str) -> Checkpoint:
    """Raises RecipeError."""
    try:
        start = checkpoint.load(resolve("start", recipe.start, runs, registry), base=find_base(registry))
    except checkpoint.CheckpointError as error:
        raise RecipeError(f"start is {recipe.start!r}: {error}") from error
    if recipe.lora and not recipe.lora.merge and not start.manifest.version:
        raise RecipeError(
            f"lora.merge is false, and start is {recipe.start!r}, which is not published: adapters are kept beside a "
            "NAME@VERSION of the registry; publish it first, or merge them"
        )
    return start


def resolve(field: str, reference: str, runs: Path, registry: str) -> Path:
    """The directory of a run of that name that is finished, else of what the registry makes of it.

    Raises RecipeError, which names the recipe's `field`.
    """
    finished = runs / reference / "checkpoint"
    try:
        return finished if finished.is_dir() else Registry(registry).resolve(reference)
    except RegistryError as error:
        raise RecipeError(f"{field} is {reference!r}: no finished run {finished.parent}, and {error}") from error


def find_base(registry: str) -> FindBase:
    """Opens the registry only where something is kept beside a base."""
    return lambda reference: Registry(registry).base(reference)


def settle_weights(model: Any, recipe: Recipe, start: Checkpoint | None) -> None:
    """Give a new model the weights it starts from, and settle which of them are learned."""
    if start is not None:
        _copy_weights(start, model)
    if recipe.frozen_encoder:
        model.freeze_encoder()
    if recipe.lora:
        attach(model, recipe.lora.config)
        freeze_all_but_adapters(model, tuple(task_of(recipe).head(model)))


@torch.no_grad()
def _copy_weights(start: Checkpoint, model: nn.Module) -> None:
    """Every weight; the label projection begins anew where the labels are others."""
    weights = start.model.state_dict()
    for name, parameter in model.state_dict().items():
        if parameter.shape == weights[name].shape:
            parameter.copy_(weights[name])
        else:
            assert name.startswith(_LABEL_WEIGHTS), f"{name} is {parameter.shape}, was {weights[name].shape}"


def made_with(recipe: Recipe, start: Checkpoint | None, teachers: Iterable[Manifest]) -> tuple[Ancestor, ...]:
    """The lineage of the model to train. What teachers wrote may be targets, sources, or both."""
    written = [(pair, corpus.written) for corpus in recipe.corpora for pair in corpus.pairs]
    back = any(source in columns for (source, _), columns in written)
    distilled = any(target in columns for (_, target), columns in written) or not back
    relations = [name for name, holds in ((DISTILLED_FROM, distilled), (BACK_TRANSLATED_BY, back)) if holds]
    begun = [ancestor(start.manifest, ADAPTS if recipe.lora else STARTS_FROM)] if start else []
    return (*begun, *(ancestor(teacher, relation) for teacher in teachers for relation in relations))


def check_model(recipe: Recipe, start: Checkpoint | None, path: Path) -> None:
    """Before any data is read: whether there is a model and a tokenizer for this task as the recipe's fields say.

    Raises RecipeError, which names the recipe's file `path`, the field, and those that are known.
    """
    wanted: str | None
    task = task_of(recipe)
    if start is not None:
        wanted, vocab_size = start.config.architecture, start.tokenizer.vocab_size
    else:
        wanted, tokenizer = recipe.model.get("architecture"), recipe.tokenizer
        assert tokenizer is not None, "a recipe without `start` has a tokenizer"
        vocab_size = tokenizer.vocab_size
        _check_tokenizer(task, recipe, tokenizer, path)
    fitting = [name for name, (config, _) in ARCHITECTURES.items() if config.kind == task.kind]
    if wanted not in fitting:
        of, takes = f"start: {recipe.start}" if start else "model.architecture", " or ".join(map(repr, fitting))
        raise RecipeError(f"{path}: {of} is {wanted!r}, a recipe to {task.name} takes {takes}")
    new_config(recipe, start, vocab_size, path)


def _check_tokenizer(task: Task, recipe: Recipe, tokenizer: TokenizerRecipe, path: Path) -> None:
    if tokenizer.kind != task.tokenizer:
        raise RecipeError(
            f"{path}: tokenizer.kind is {tokenizer.kind!r}, a recipe to {task.name} takes {task.tokenizer!r}"
        )
    least = len(WORDPIECE_SPECIAL_TOKENS) + 1
    if tokenizer.kind == "byte_bpe":
        tags = {language for pair in recipe.language_pairs for language in pair}
        least = 256 + len(SPECIAL_TOKENS) + len(tags) + len(tokenizer.control_tokens)
    if tokenizer.vocab_size < least:
        raise RecipeError(
            f"{path}: tokenizer.vocab_size is {tokenizer.vocab_size}, expected at least {least}: the special tokens, "
            "and what every text is made of"
        )


def new_config(recipe: Recipe, start: Checkpoint | None, vocab_size: int, path: Path) -> Config:
    """Of the model to train. What a run starts from gives its config; the recipe may change what has no weights.

    Raises RecipeError, which names the recipe's file `path`.
    """
    values: dict[str, Any] = {**recipe.model}
    if start is not None:
        begun = start.config.to_dict()
        for name, value in values.items():
            if name in begun and name not in _MAY_CHANGE and begun[name] != value:
                raise RecipeError(f"{path}: model.{name} is {value!r}, but {recipe.start} has {begun[name]!r}")
        values = {**begun, **values}
    architecture = ARCHITECTURES[values.pop("architecture")][0]
    values |= {"vocab_size": vocab_size, **task_of(recipe).config_fields(recipe)}
    try:
        return architecture.from_dict(section_of(architecture).read(values, "model").model_dump())
    except (ConfigError, RecipeError) as error:
        raise RecipeError(f"{path}: {error}") from error
