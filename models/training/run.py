"""One training run from recipe to checkpoint directory: read, tokenize, train, write.

The only module that ties the others of this folder together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import tokenizers
import torch

from models import checkpoint, formats
from models.architectures import build
from models.checkpoint import CURVES, Adapter, Checkpoint, Manifest
from models.config import Config
from models.lineage import Ancestor, attribution_with, licence_with
from models.lora import merge
from models.precision import resolve_device
from models.tokenizer import SPECIAL_TOKENS, Tokenizer, train_byte_bpe, train_wordpiece
from models.training.calibration import calibrate
from models.training.card import write_card
from models.training.data.examples import Examples, TrainingExamples, encode
from models.training.data.readers import DataError
from models.training.data.rows import TextRow
from models.training.data.splits import Splits, read_splits, with_labels
from models.training.data.spool import key_of
from models.training.data.varied import Varied
from models.training.data.written import Writer, Writing
from models.training.experiments import Experiment
from models.training.loading import load_recipe
from models.training.parallel import ALONE, Group
from models.training.recipe import Recipe
from models.training.sections import Distillation
from models.training.soft_labels import TaughtExamples, taught
from models.training.start import check_model, find_base, made_with, new_config, resolve, resolve_start, settle_weights
from models.training.tasks import Task, task_of
from models.training.tracking import Say
from models.training.trainer import Measurement, Trainer

Hire = Callable[[Sequence[Path], Distillation], AbstractContextManager[Writer]]
_Teacher = tuple[Path, Manifest]  # where it is, verified


@dataclass(frozen=True)
class Job:
    """What to run and where. Plain values: it travels to the workers of a distributed run."""

    recipe: Path
    data: Path  # folder of the files that the recipe names
    runs: Path  # everything is written below runs/NAME; all workers see it
    registry: str  # where the recipe's `start` is looked for when it is no run
    resume: bool = True  # an interrupted run goes on where it was; otherwise it starts over
    device: str = "auto"
    track: str = ""  # URI of an MLflow store that is told of the run
    changes: tuple[str, ...] = ()  # fields that differ from the recipe's file: training.steps=100


@dataclass(frozen=True)
class Prepared:
    """All that training needs, read and encoded."""

    recipe: Recipe
    directory: Path
    start: Checkpoint | None
    lineage: tuple[Ancestor, ...]
    tokenizer: Tokenizer
    config: Config
    splits: Splits
    training: TrainingExamples
    validation: Examples


@dataclass(frozen=True)
class TrainingResult:
    checkpoint: Path  # a directory `models.checkpoint.load` reads
    validation: Measurement


def train(job: Job, say: Say = print, hire: Hire | None = None) -> TrainingResult:
    """Raises RecipeError, DataError, ResumeError, Interrupted (after saving its state) and DivergedError."""
    return fit(job, prepare(job, say, hire), say=say)


def prepare(job: Job, say: Say = print, hire: Hire | None = None) -> Prepared:
    """Read, clean and encode the data. What an earlier call of the same run left is opened, not made again.

    `hire` makes writers of teachers' checkpoints, where the recipe has columns that they write.
    """
    recipe = load_recipe(job.recipe, job.changes)
    task = task_of(recipe)
    start = resolve_start(recipe, job.runs, job.registry) if recipe.start else None
    check_model(recipe, start, job.recipe)
    directory = job.runs / recipe.name
    if not job.resume:
        shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    teachers = _teachers(recipe, job)
    recipe = with_labels(task, recipe, job.data, directory)
    splits = read_splits(task, recipe, job.data, directory, say, _writing(recipe, teachers, directory, hire))
    tokenizer = _tokenizer(task, recipe, start, splits.training, directory / "tokenizer.json")
    config = new_config(recipe, start, tokenizer.vocab_size, job.recipe)
    longest = task.longest(config)
    folder, pack = directory / "data" / "training", recipe.packing == "blocks"
    training = encode(task.encode, recipe, tokenizer, splits.training, longest, folder, pack=pack)
    validation = encode(task.encode, recipe, tokenizer, splits.validation, longest, None)
    if training.too_long:
        say(f"{recipe.name}: {training.too_long}")
    read: TrainingExamples = training
    if recipe.variation:
        read = Varied(training, tokenizer, recipe.variation, longest=longest, seed=recipe.seed)
    if recipe.distillation and not task.teachers_write:
        folder, device = directory / "soft-labels", resolve_device(job.device)
        read = taught(
            task.encode, recipe, teachers, splits.training, training, folder, device, say, find_base(job.registry)
        )
    lineage = made_with(recipe, start, [manifest for _, manifest in teachers])
    return Prepared(recipe, directory, start, lineage, tokenizer, config, splits, read, validation)


def _teachers(recipe: Recipe, job: Job) -> list[_Teacher]:
    """Where they are, verified."""
    wanted = recipe.distillation.teachers if recipe.distillation else ()
    directories = [resolve("distillation.teachers", teacher, job.runs, job.registry) for teacher in wanted]
    return [(directory, checkpoint.verify(directory)) for directory in directories]


def _writing(recipe: Recipe, teachers: Sequence[_Teacher], directory: Path, hire: Hire | None) -> Writing | None:
    """None where the recipe has no written columns."""
    wanted = recipe.distillation
    if wanted is None or not task_of(recipe).teachers_write:
        return None
    hashes = [manifest.weights_sha256 for _, manifest in teachers]

    def hired() -> AbstractContextManager[Writer]:
        if hire is None:
            raise DataError("a column is to be written by teachers, which this process cannot run")
        return hire([where for where, _ in teachers], wanted)

    return Writing(hired, directory / "written", key_of([hashes, wanted.beams, wanted.length_penalty]))


def fit(job: Job, prepared: Prepared, *, group: Group = ALONE, say: Say = print) -> TrainingResult:
    """Train what is prepared, as one worker of `group`; the first one writes the checkpoint."""
    tracked = job.track and group.rank == 0
    with Experiment(job.track, prepared.recipe, prepared.directory, say) if tracked else nullcontext() as tracker:
        return _fit(job, prepared, group, say, tracker)


def _fit(job: Job, prepared: Prepared, group: Group, say: Say, tracker: Experiment | None) -> TrainingResult:
    recipe, directory = prepared.recipe, prepared.directory
    task, config, tokenizer = task_of(recipe), prepared.config, prepared.tokenizer
    torch.manual_seed(recipe.seed)
    model: Any = build(config)
    settle_weights(model, recipe, prepared.start)
    device = resolve_device(job.device)
    if group.rank == 0:
        learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        first = prepared.training.epoch(0)
        say(
            f"{recipe.name}: {learned:,} parameters to learn, {tokenizer.vocab_size:,} tokens, "
            f"{len(first):,} examples with {first.source_lengths_N.sum() + first.target_lengths_N.sum():,} ids, "
            f"on {device}"
        )
    objective = task.objective(recipe, config, tokenizer)
    trainer = Trainer(
        recipe.name,
        model,
        recipe.training,
        objective=objective,
        training=prepared.training,
        validation=prepared.validation,
        directory=directory,
        recipe_hash=_hash(prepared),
        seed=recipe.seed,
        device=device,
        group=group,
        say=say,
        sinks=() if tracker is None else (tracker,),
        judge=task.judge(recipe, config, tokenizer, prepared.splits.validation, prepared.validation),
    )
    if trainer.resume() and group.rank == 0:
        say(f"{recipe.name}: going on after step {trainer.progress.step:,}")
    result = trainer.run()
    if group.rank == 0:
        facts: dict[str, object] = {}
        if recipe.calibrate:
            batch_tokens = recipe.training.batch_tokens
            temperature, loss = calibrate(model, objective, prepared.validation, batch_tokens, device)
            result = dataclasses.replace(result, loss=loss)
            facts["calibration_temperature"] = round(temperature, 4)
            say(f"{recipe.name}: calibrated with temperature {temperature:.3f}: validation loss {loss:.4f}")
        manifest = _write_checkpoint(prepared, trainer, result, device, group.size, facts)
        if tracker is not None:
            tracker.published(directory / "checkpoint", manifest)
        say(f"{recipe.name}: written to {directory / 'checkpoint'}")
    return TrainingResult(directory / "checkpoint", result)


def _tokenizer(task: Task, recipe: Recipe, start: Checkpoint | None, rows: Iterable[TextRow], path: Path) -> Tokenizer:
    """The one the run starts from, or one trained on the training rows; a run that goes on keeps its own."""
    if path.is_file():
        return Tokenizer.load(path)
    tokenizer = start.tokenizer if start else _train_tokenizer(task, recipe, rows)
    scratch = path.with_suffix(".tmp")
    tokenizer.save(scratch)
    scratch.replace(path)
    return tokenizer


def _train_tokenizer(task: Task, recipe: Recipe, rows: Iterable[TextRow]) -> Tokenizer:
    wanted = recipe.tokenizer
    assert wanted is not None, "a recipe without `start` has a tokenizer"

    def texts() -> Iterable[tuple[str | None, str]]:
        """Each with its language, of a translator's."""
        for row in rows:
            yield row.source_language, formats.normalize(row.source)
            if task.targets_are_text:
                yield row.language, formats.normalize(row.target)
            if row.pair is not None:
                yield None, formats.normalize(row.pair)

    times = _balance(texts()) if wanted.balanced else {}
    counted = (text for language, text in texts() for _ in range(times.get(language, 1)))
    if wanted.kind == "wordpiece":
        return train_wordpiece(counted, wanted.vocab_size)
    # A tag for each language, source or target, so that a later direction needs no new vocabulary.
    languages = sorted({code for pair in recipe.language_pairs for code in pair})
    tags = [formats.language_tag(language) for language in languages]
    return train_byte_bpe(counted, wanted.vocab_size, [*SPECIAL_TOKENS, *tags], wanted.control_tokens)


def _balance(texts: Iterable[tuple[str | None, str]]) -> dict[str | None, int]:
    """How often each language's texts are read for all to have about as many characters as the one with most."""
    sizes: Counter[str | None] = Counter()
    for language, text in texts:
        sizes[language] += len(text)
    return {language: round(max(sizes.values()) / max(size, 1)) for language, size in sizes.items()}


def _hash(prepared: Prepared) -> str:
    """Of all that a saved state depends on."""
    values = prepared.recipe.learned_from
    if isinstance(prepared.training, TaughtExamples):
        values["taught"] = prepared.training.key
    values["start"] = prepared.start.manifest.weights_sha256 if prepared.start else ""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _write_checkpoint(
    prepared: Prepared,
    trainer: Trainer,
    result: Measurement,
    device: torch.device,
    workers: int,
    facts: dict[str, object],
) -> Manifest:
    """Made anew: what an earlier run left there is gone."""
    recipe, directory = prepared.recipe, prepared.directory / "checkpoint"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    curves = prepared.directory / CURVES
    if curves.is_file():
        shutil.copyfile(curves, directory / CURVES)
    adapter, learned = None, None
    if recipe.lora:
        if not recipe.lora.merge:
            assert prepared.start is not None, "adapters begin beside something"
            base, learned = prepared.start.manifest, trainer.learned
            adapter = Adapter(base=base.reference, base_sha256=base.weights_sha256, lora=recipe.lora.config)
        merge(trainer.model)
    manifest = Manifest(
        name=recipe.name,
        architecture=prepared.config.architecture,
        task=recipe.task,
        language_pairs=recipe.language_pairs,
        labels=recipe.labels,
        takes_pairs=task_of(recipe).takes_pairs(recipe),
        examples=recipe.examples,
        chat_template=recipe.chat_template,
        data=recipe.data,
        licence=licence_with(recipe.licence, prepared.lineage),
        attribution=attribution_with(recipe.attribution, prepared.lineage),
        training={
            "steps": trainer.progress.step,
            "epochs": trainer.progress.epoch + 1,
            "minutes": round(trainer.progress.seconds / 60, 1),
            "scored_tokens": trainer.progress.tokens,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})",
            "threads": torch.get_num_threads(),
            "workers": workers,
            "parameters": sum(p.numel() for p in trainer.model.parameters()),
            **({"learned_parameters": sum(p.numel() for p in trainer.learned.values())} if recipe.lora else {}),
            "validation_loss": round(result.loss, 4),
            "validation_accuracy": round(result.accuracy, 4),
            **facts,
            **({} if result.score is None else {f"validation_{trainer.score_name}": round(result.score, 4)}),
            "data_report": prepared.splits.report.counts(),
            "recipe": recipe.model_dump(),
        },
        versions={
            "torch": torch.__version__,
            "tokenizers": tokenizers.__version__,
            "safetensors": safetensors.__version__,
            "python": platform.python_version(),
        },
        lineage=prepared.lineage,
        adapter=adapter,
    )
    # Adapters are small, and what they add would be lost in rounding first: alone, they keep all their digits.
    dtype = torch.bfloat16 if adapter is None else torch.float32
    checkpoint.save(
        directory, model=trainer.model, tokenizer=prepared.tokenizer, manifest=manifest, dtype=dtype, learned=learned
    )
    return write_card(directory)
