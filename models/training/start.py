"""What a run begins with: the weights and the tokenizer of another run, or of a published checkpoint; and its lineage.

Knows nothing of data or training.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import checkpoint
from models.architectures import config_from_dict
from models.checkpoint import Checkpoint, Manifest
from models.config import Config, ConfigError
from models.lineage import BACK_TRANSLATED_BY, DISTILLED_FROM, STARTS_FROM, Ancestor, ancestor
from models.registry import Registry, RegistryError
from models.tokenizer import Tokenizer
from models.training.recipe import Recipe, RecipeError

_LABEL_WEIGHTS = "classifier."  # of another task's labels: these begin anew
_MAY_CHANGE = ("dropout",)  # fields of a config that no weight depends on


@dataclass(frozen=True)
class Start:
    checkpoint: Checkpoint
    weights_hash: str

    @property
    def tokenizer(self) -> Tokenizer:
        return self.checkpoint.tokenizer

    @torch.no_grad()
    def load_into(self, model: nn.Module) -> None:
        """Copy every weight; the label projection begins anew where the labels are others."""
        weights = self.checkpoint.model.state_dict()
        for name, parameter in model.state_dict().items():
            if parameter.shape == weights[name].shape:
                parameter.copy_(weights[name])
            else:
                assert name.startswith(_LABEL_WEIGHTS), f"{name} is {parameter.shape}, was {weights[name].shape}"


def resolve_start(recipe: Recipe, runs: Path, registry: str) -> Start:
    """Raises RecipeError."""
    try:
        found = checkpoint.load(resolve("start", recipe.start, runs, registry))
    except checkpoint.CheckpointError as error:
        raise RecipeError(f"start is {recipe.start!r}: {error}") from error
    return Start(found, weights_hash(found.manifest))


def resolve(field: str, reference: str, runs: Path, registry: str) -> Path:
    """The directory of a run of that name that is finished, else of what the registry makes of it.

    Raises RecipeError, which names the recipe's `field`.
    """
    finished = runs / reference / "checkpoint"
    try:
        return finished if finished.is_dir() else Registry(registry).resolve(reference)
    except RegistryError as error:
        raise RecipeError(f"{field} is {reference!r}: no finished run {finished.parent}, and {error}") from error


def weights_hash(manifest: Manifest) -> str:
    return manifest.files[checkpoint.WEIGHTS]["sha256"]


def made_with(recipe: Recipe, start: Start | None, teachers: Iterable[Manifest]) -> tuple[Ancestor, ...]:
    """The lineage of the model to train. What teachers wrote may be targets, sources, or both."""
    written = [(pair, corpus.written) for corpus in recipe.corpora for pair in corpus.pairs]
    back = any(source in columns for (source, _), columns in written)
    distilled = any(target in columns for (_, target), columns in written) or not back
    relations = [name for name, holds in ((DISTILLED_FROM, distilled), (BACK_TRANSLATED_BY, back)) if holds]
    begun = [ancestor(start.checkpoint.manifest, STARTS_FROM)] if start else []
    return (*begun, *(ancestor(teacher, relation) for teacher in teachers for relation in relations))


def new_config(recipe: Recipe, start: Start | None, tokenizer: Tokenizer, path: Path) -> Config:
    """Of the model to train. What a run starts from gives its config; the recipe may change what has no weights.

    Raises RecipeError, which names the recipe's file `path`.
    """
    values: dict[str, Any] = {**recipe.model}
    if start is not None:
        begun = start.checkpoint.config.to_dict()
        for name, value in values.items():
            if name not in _MAY_CHANGE and begun.get(name) != value:
                raise RecipeError(f"{path}: model.{name} is {value!r}, but {recipe.start} has {begun.get(name)!r}")
        values = {**begun, **values}
    labels = {"labels": len(recipe.labels)} if recipe.task == "classify" else {}
    try:
        return config_from_dict({**values, "vocab_size": tokenizer.vocab_size, **labels})
    except ConfigError as error:
        raise RecipeError(f"{path}: model: {error}") from error
