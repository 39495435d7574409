"""One training run from recipe to checkpoint directory: read, tokenize, train, write.

The only module that ties the others of this folder together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import tokenizers
import torch

from models import checkpoint, formats
from models.architectures import build, config_from_dict
from models.checkpoint import Manifest
from models.config import BertConfig, Config, ConfigError, GPTConfig, Seq2SeqConfig
from models.precision import resolve_device
from models.tokenizer import SPECIAL_TOKENS, Tokenizer, train_byte_bpe, train_wordpiece
from models.training.data import Row, encode, read_splits
from models.training.objectives import CausalLanguageModel, Classification, MaskedWords, Objective, Translation
from models.training.recipe import Recipe, RecipeError
from models.training.trainer import Measurement, Trainer


@dataclass(frozen=True)
class TrainingResult:
    checkpoint: Path  # a directory `models.checkpoint.load` reads
    validation: Measurement


def train(
    recipe_path: Path,
    data: Path,
    runs: Path,
    *,
    resume: bool = True,
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> TrainingResult:
    """Run a recipe on the files in `data`; everything is written below `runs`/NAME, the checkpoint to .../checkpoint.

    With `resume` a run that was interrupted goes on where it was, otherwise it starts over. Raises RecipeError,
    DataError, ResumeError, Interrupted (after saving its state) and DivergedError.
    """
    recipe = Recipe.load(recipe_path)
    directory = runs / recipe.name
    if not resume:
        shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)

    splits = read_splits(recipe, data)
    say(
        f"{recipe.name}: {len(splits.training):,} training rows, {len(splits.validation):,} for validation; "
        f"{splits.near_duplicates:,} left out that are held out or nearly"
    )
    tokenizer = _tokenizer(recipe, splits.training, directory / "tokenizer.json")
    config = _config(recipe, tokenizer, recipe_path)
    longest = _longest(config)
    training = encode(recipe, tokenizer, splits.training, longest)
    validation = encode(recipe, tokenizer, splits.validation, longest)
    torch.manual_seed(recipe.seed)
    model = build(config)
    parameters = sum(p.numel() for p in model.parameters())
    target = resolve_device(device)
    say(
        f"{recipe.name}: {parameters:,} parameters, {tokenizer.vocab_size:,} tokens, {len(training):,} examples with "
        f"{sum(len(e.source) + len(e.target) for e in training):,} ids, on {target}"
    )
    main, first = _objectives(recipe, config, tokenizer)
    trainer = Trainer(
        recipe.name,
        model,
        recipe.training,
        objective_at=lambda step: first if step < recipe.training.masked_words_steps else main,
        measured=main,
        training=training,
        validation=validation,
        directory=directory,
        recipe_hash=_hash(recipe),
        seed=recipe.seed,
        device=target,
    )
    if trainer.resume():
        say(f"{recipe.name}: going on after step {trainer.progress.step:,}")
    result = trainer.run()
    manifest = _manifest(recipe, trainer, result, target, config)
    checkpoint.save(directory / "checkpoint", model=trainer.model, tokenizer=tokenizer, manifest=manifest)
    say(f"{recipe.name}: written to {directory / 'checkpoint'}")
    return TrainingResult(directory / "checkpoint", result)


def _tokenizer(recipe: Recipe, rows: list[Row], path: Path) -> Tokenizer:
    """Trained on the training rows; a run that goes on keeps the one it began with."""
    if path.is_file():
        return Tokenizer.load(path)

    def texts() -> Iterable[str]:
        for row in rows:
            yield formats.normalize(row.source)
            if recipe.task != "classify":
                yield formats.normalize(row.target)
            if row.pair is not None:
                yield formats.normalize(row.pair)

    wanted = recipe.tokenizer
    if wanted.kind == "wordpiece":
        tokenizer = train_wordpiece(texts(), wanted.vocab_size)
    else:
        tags = [formats.language_tag(language) for language in dict.fromkeys(t for _, t in _all_pairs(recipe))]
        tokenizer = train_byte_bpe(texts(), wanted.vocab_size, [*SPECIAL_TOKENS, *tags], wanted.control_tokens)
    scratch = path.with_suffix(".tmp")
    tokenizer.save(scratch)
    scratch.replace(path)
    return tokenizer


def _all_pairs(recipe: Recipe) -> list[tuple[str, str]]:
    """Both directions of every pair: a tag for each language, so that a later direction needs no new vocabulary."""
    pairs = recipe.language_pairs
    return sorted({(b, a) for a, b in pairs} | set(pairs))


def _config(recipe: Recipe, tokenizer: Tokenizer, path: Path) -> Config:
    extra: dict[str, Any] = {"labels": len(recipe.labels)} if recipe.task == "classify" else {}
    try:
        return config_from_dict({**recipe.model, "vocab_size": tokenizer.vocab_size, **extra})
    except ConfigError as error:
        raise RecipeError(f"{path}: model: {error}") from error


def _longest(config: Config) -> tuple[int, int]:
    """Most ids a source and a target may have."""
    if isinstance(config, Seq2SeqConfig):
        return config.max_source, config.max_target - 1
    if isinstance(config, GPTConfig):
        return config.context, config.context - 2  # start and control token
    return config.max_positions, 1


def _objectives(recipe: Recipe, config: Config, tokenizer: Tokenizer) -> tuple[Objective, Objective]:
    """The task's, and the one of the first `masked_words_steps`."""
    if isinstance(config, BertConfig):
        separator = tokenizer.id("[SEP]")
        mask, size = tokenizer.id("[MASK]"), tokenizer.vocab_size
        return Classification(config.pad_id, separator), MaskedWords(config.pad_id, separator, mask, size, specials=5)
    if isinstance(config, GPTConfig):
        language_model = CausalLanguageModel(config.pad_id, recipe.control.drop if recipe.control else 0.0)
        return language_model, language_model
    translation = Translation(config.pad_id, config.start_id)
    return translation, translation


def _hash(recipe: Recipe) -> str:
    """Of all that a saved state depends on. Budgets may change between sittings, and what is only reported."""
    values = dataclasses.asdict(recipe)
    for name in ("steps", "max_minutes", "validate_every", "save_every"):
        del values["training"][name]
    for name in ("licence", "data", "attribution"):
        del values[name]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _manifest(recipe: Recipe, trainer: Trainer, result: Measurement, device: torch.device, config: Config) -> Manifest:
    return Manifest(
        name=recipe.name,
        architecture=config.architecture,
        task=recipe.task,
        language_pairs=recipe.language_pairs,
        labels=recipe.labels,
        data=recipe.data,
        licence=recipe.licence,
        attribution=recipe.attribution,
        training={
            "steps": trainer.progress.step,
            "epochs": trainer.progress.epoch + 1,
            "minutes": round(trainer.progress.seconds / 60, 1),
            "scored_tokens": trainer.progress.tokens,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})",
            "threads": torch.get_num_threads(),
            "validation_loss": round(result.loss, 4),
            "validation_accuracy": round(result.accuracy, 4),
            "recipe": dataclasses.asdict(recipe),
        },
        versions={
            "torch": torch.__version__,
            "tokenizers": tokenizers.__version__,
            "safetensors": safetensors.__version__,
            "python": platform.python_version(),
        },
    )
