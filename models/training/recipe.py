"""A recipe: everything about one training run except where its data lies, in sections that say what depends on them.

Knows what holds of every recipe: `models.training.tasks` adds what holds of one task, `models.training.loading` reads
files. Knows nothing of torch; the `model` section is checked by the architecture's own config.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, field_validator, model_validator

from models.chat import ChatTemplate
from models.names import check_name
from models.training.fields import AtLeastOne, Number, Section, Share, Texts
from models.training.sections import (
    Cleaning,
    Control,
    Corpora,
    Distillation,
    Lora,
    Steering,
    TokenizerRecipe,
    Training,
    Variation,
)


class RunFields(Section):
    name: str  # of the published model, and of the folder that the run writes
    task: str  # one of `models.training.tasks`
    seed: int = 1


class DataFields(Section):
    """What the run reads, and how it becomes the rows that train: the spooled rows depend on these, and on the task."""

    corpora: Corpora
    validation: Corpora = ()
    hold_out: int = 0  # examples taken from the first corpus for validation, where there is no file for it
    tests: Corpora = ()  # final scores only; their texts are left out of the training data
    labels: Texts = ()  # of a classifier, in the order of its outputs; (): those found in the training data
    scarce_labels: Literal["stop", "allow"] = "stop"  # what to do when there is one only, or one has hardly an example
    control: Control | None = None
    packing: Literal["none", "blocks"] = "none"  # of a generator: each row is an example, or documents fill its context
    next_sentence: bool = True  # of pre-training: split texts, and also tell whether the second part is its own
    cleaning: Cleaning = Cleaning()


class ModelFields(Section):
    # Architecture and its config's fields, without vocab_size (and labels); empty with `start`.
    model: dict[str, Any] = Field(default_factory=dict)
    tokenizer: TokenizerRecipe | None = None
    start: str = ""  # begin with the weights and the tokenizer of this run, NAME[@VERSION] or checkpoint directory
    frozen_encoder: bool = False  # of a classifier: train the head alone, on the features of the encoder it starts from
    lora: Lora | None = None  # with `start`: learn adapters beside its weights


class TaskFields(Section):
    """What some tasks learn and how."""

    word_dropout: Share = 0.0  # of a classifier: share of the words that are masked whenever training reads a text
    mask_rate: Annotated[Number, Field(gt=0, lt=1)] = 0.15  # of pre-training: share of the words to guess
    variation: Variation | None = None
    distillation: Distillation | None = None


class FinalFields(Section):
    """What is done with what was learned."""

    calibrate: bool = False  # of a classifier: divide its logits by the temperature that suits the validation texts
    # Of a translator: each test is scored with these beam widths.
    beams: Annotated[tuple[AtLeastOne, ...], Strict(False), Field(min_length=1)] = (1,)
    steering: Steering | None = None


class CardFields(Section):
    licence: str = ""
    data: str = ""  # what it was trained on, for the manifest
    attribution: str = ""
    limits: str = ""  # what it should not be used for, for the model card
    examples: dict[str, Any] = Field(default_factory=dict)  # what one shows -> a request, for the manifest
    chat_template: str = ""  # of a generator: how conversations are written in its training text, for the manifest


# What no saved state depends on: budgets may change between sittings, and what is only reported, stored or done later.
_NOT_LEARNED: dict[str, Any] = {
    "training": {"steps", "max_minutes", "validate_every", "save_every", "score_texts", "samples"},
    "lora": {"merge"},
    **dict.fromkeys((*FinalFields.model_fields, *CardFields.model_fields), True),
}


class Recipe(CardFields, FinalFields, TaskFields, ModelFields, DataFields, RunFields):
    training: Training

    @property
    def learned_from(self) -> dict[str, Any]:
        """What a saved state depends on, as plain values.

        Fields at their defaults are left out: what a later release can do besides, unless asked for, changes no hash.
        """
        return self.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_LEARNED)

    @property
    def read_from(self) -> dict[str, Any]:
        """What the spooled rows depend on, as plain values; fields at their defaults are left out."""
        fields = {"task", "seed", *DataFields.model_fields}
        return self.model_dump(mode="json", exclude_defaults=True, include=fields)

    @property
    def has_written_columns(self) -> bool:
        return any(corpus.written for corpus in self.corpora)

    @property
    def language_pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted({pair for corpus in self.corpora for pair in corpus.pairs}))

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        check_name(name)
        return name

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.corpora:
            raise ValueError("corpora is empty: there is nothing to train on")
        if bool(self.validation) == bool(self.hold_out):
            raise ValueError("give either validation files or hold_out")
        if bool(self.start) == bool(self.model and self.tokenizer):
            raise ValueError("give either a model and a tokenizer, or start: what to begin with, which has both")
        if self.has_written_columns and not self.distillation:
            raise ValueError("corpora have written columns, but there is no distillation with the teachers who write")
        if any(corpus.written for corpus in (*self.validation, *self.tests)):
            raise ValueError("validation files and tests are not written by a model")
        if self.lora and (self.frozen_encoder or not self.start):
            raise ValueError("lora adapts what a run starts from: give start, and no frozen_encoder")
        if self.lora and self.training.optimizer == "muon":
            raise ValueError("optimizer is 'muon', which moves whole matrices: what lora learns is moved by adamw")
        for shown, request in self.examples.items():
            if not isinstance(request, dict):
                raise ValueError(f"examples.{shown} is {request!r}, expected a request, such as {{inputs: a text}}")
        if self.chat_template:
            ChatTemplate(self.chat_template)
        for corpus in (*self.corpora, *self.validation, *self.tests):
            unknown = sorted(set(corpus.labels.values()) - set(self.labels))
            if unknown and self.labels:
                raise ValueError(f"{corpus.name}: labels {unknown} are not among the recipe's {list(self.labels)}")
        return self
