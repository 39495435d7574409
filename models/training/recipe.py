"""A recipe: everything about one training run except where its data lies. Read from YAML into frozen dataclasses.

Knows nothing of torch; the `model` section is checked by the architecture's own config.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml

from models.config import ConfigError
from models.names import check_name
from models.training.fields import change, read_fields
from models.training.sections import (
    Cleaning,
    Control,
    Corpus,
    Distillation,
    Lora,
    RecipeError,
    Steering,
    TokenizerRecipe,
    Training,
    Variation,
)

Task = Literal["translate", "generate", "classify", "pretrain"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    name: str  # of the published model, and of the folder that the run writes
    task: Task
    corpora: tuple[Corpus, ...]
    training: Training
    model: dict[str, Any] = dataclasses.field(default_factory=dict)  # architecture and its config's fields, without
    # vocab_size (and labels); empty with `start`
    tokenizer: TokenizerRecipe | None = None
    start: str = ""  # begin with the weights and the tokenizer of this run, NAME[@VERSION] or checkpoint directory
    frozen_encoder: bool = False  # of a classifier: train the head alone, on the features of the encoder it starts from
    word_dropout: float = 0.0  # of a classifier: share of the words that are masked whenever training reads a text
    mask_rate: float = 0.15  # of pre-training: share of the words to guess
    next_sentence: bool = True  # of pre-training: split texts, and also tell whether the second part is its own
    calibrate: bool = False  # of a classifier: divide its logits by the temperature that suits the validation texts
    seed: int = 1
    validation: tuple[Corpus, ...] = ()
    hold_out: int = 0  # examples taken from the first corpus for validation, where there is no file for it
    tests: tuple[Corpus, ...] = ()  # final scores only; their texts are left out of the training data
    beams: tuple[int, ...] = (1,)  # of a translator: each test is scored with these beam widths
    labels: tuple[str, ...] = ()  # of a classifier, in the order of its outputs; (): those found in the training data
    scarce_labels: Literal["stop", "allow"] = "stop"  # what to do when there is one only, or one has hardly an example
    control: Control | None = None
    packing: Literal["none", "blocks"] = "none"  # of a generator: each row is an example, or documents fill its context
    steering: Steering | None = None
    cleaning: Cleaning = dataclasses.field(default_factory=Cleaning)
    variation: Variation | None = None
    distillation: Distillation | None = None
    lora: Lora | None = None  # with `start`: learn adapters beside its weights
    licence: str = ""
    data: str = ""  # what it was trained on, for the manifest
    attribution: str = ""
    limits: str = ""  # what it should not be used for, for the model card
    examples: dict[str, Any] = dataclasses.field(default_factory=dict)  # what one shows -> a request, for the manifest

    def __post_init__(self) -> None:
        try:
            check_name(self.name)
        except ValueError as error:
            raise ConfigError(f"name: {error}") from error
        if not self.corpora:
            raise ConfigError("corpora is empty: there is nothing to train on")
        if bool(self.validation) == bool(self.hold_out):
            raise ConfigError("give either validation files or hold_out")
        if bool(self.start) == bool(self.model and self.tokenizer):
            raise ConfigError("give either a model and a tokenizer, or start: what to begin with, which has both")
        if self.frozen_encoder and not (self.start and self.task == "classify"):
            raise ConfigError("frozen_encoder is for a classifier that starts from a pre-trained encoder (start)")
        if not 0 <= self.word_dropout < 1:
            raise ConfigError(f"word_dropout is {self.word_dropout}, expected a share from 0 to below 1")
        if self.word_dropout and self.task != "classify":
            raise ConfigError(f"word_dropout is of a classifier, this recipe is to {self.task}")
        if not 0 < self.mask_rate < 1:
            raise ConfigError(f"mask_rate is {self.mask_rate}, expected a share between 0 and 1")
        if self.packing != "none" and (self.task != "generate" or self.control):
            what = "control tokens speak of one text" if self.control else f"this recipe is to {self.task}"
            raise ConfigError(f"packing is {self.packing!r}, which is of a generator's plain text: {what}")
        if self.steering and self.task != "generate":
            raise ConfigError(f"steering is of a generator, this recipe is to {self.task}")
        if self.variation and self.task != "translate":
            raise ConfigError(f"variation is of a translator's text, this recipe is to {self.task}")
        writes = any(corpus.written for corpus in self.corpora)
        if writes and not self.distillation:
            raise ConfigError("corpora have written columns, but there is no distillation with the teachers who write")
        if self.distillation and not writes and self.task != "classify":
            raise ConfigError("distillation has teachers, but no corpus has a written column for them")
        if self.calibrate and self.task != "classify":
            raise ConfigError(f"calibrate is of a classifier, this recipe is to {self.task}")
        if any(corpus.written for corpus in (*self.validation, *self.tests)):
            raise ConfigError("validation files and tests are not written by a model")
        if self.lora and (self.frozen_encoder or not self.start):
            raise ConfigError("lora adapts what a run starts from: give start, and no frozen_encoder")
        if self.lora and self.training.optimizer == "muon":
            raise ConfigError("optimizer is 'muon', which moves whole matrices: what lora learns is moved by adamw")
        if self.task == "translate" and self.training.patience_by == "score" and not self.training.score_texts:
            raise ConfigError("patience_by is 'score' and score_texts 0: a translator's score needs texts to translate")
        if not self.beams or min(self.beams) < 1:
            raise ConfigError(f"beams is {self.beams}, expected widths of at least 1")
        if self.task == "translate" and not all(corpus.directions for corpus in self.corpora):
            raise ConfigError("every corpus of a translator needs directions, such as [fr-en]")
        for shown, request in self.examples.items():
            if not isinstance(request, dict):
                raise ConfigError(f"examples.{shown} is {request!r}, expected a request, such as {{inputs: a text}}")
        for corpus in (*self.corpora, *self.validation, *self.tests):
            unknown = sorted(set(corpus.labels.values()) - set(self.labels))
            if unknown and self.labels:
                raise ConfigError(f"{corpus.name}: labels {unknown} are not among the recipe's {list(self.labels)}")
            if self.task == "classify" and not corpus.has_labels:
                self._check_unlabelled(corpus)

    def _check_unlabelled(self, corpus: Corpus) -> None:
        learned_from = corpus in (*self.corpora, *self.validation)
        if learned_from and (not self.distillation or corpus in self.validation or corpus == self.corpora[0]):
            raise ConfigError(
                f"{corpus.name}: none of the columns {', '.join(corpus.columns)} is the label_column "
                f"{corpus.label_column!r}: texts without labels are for teachers (distillation), beside a first corpus "
                "that has them"
            )

    @property
    def takes_pairs(self) -> bool:
        """Whether a classifier learns from pairs of texts."""
        return self.task == "classify" and any("pair" in corpus.columns for corpus in self.corpora)

    @property
    def language_pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted({pair for corpus in self.corpora for pair in corpus.pairs}))

    @classmethod
    def load(cls, path: Path, changes: Sequence[str] = ()) -> Self:
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
                change(values, each)
            return cls.from_dict(values)
        except (ConfigError, RecipeError) as error:
            raise RecipeError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """From YAML, or from the manifest of a checkpoint that the recipe made. Raises RecipeError."""
        try:
            return read_fields(cls, values, "recipe")
        except ConfigError as error:
            raise RecipeError(str(error)) from error
