"""A recipe: everything about one training run except where its data lies. Read from YAML into frozen dataclasses.

Knows nothing of torch; the `model` section is checked by the architecture's own config.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, Union

import yaml

from models.config import ConfigError

Task = Literal["translate", "generate", "classify"]
T = TypeVar("T")


class RecipeError(ValueError):
    """A recipe that cannot be run; the message names the file and the field."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One tab-separated file of the data folder."""

    file: str  # relative to the data folder
    columns: tuple[str, ...]  # language codes, or text, pair, label, rating
    directions: tuple[str, ...] = ()  # of a translation corpus: fr-en reads column fr and writes column en
    label_column: str = "label"  # of a classifier
    labels: dict[str, str] = dataclasses.field(default_factory=dict)  # its values -> label; other rows are left out
    repeat: int = 1  # times per epoch

    def __post_init__(self) -> None:
        if self.repeat < 1:
            raise ConfigError(f"{self.file}: repeat is {self.repeat}, expected at least 1")
        for direction in self.directions:
            missing = [language for language in direction.split("-") if language not in self.columns]
            if missing or direction.count("-") != 1:
                raise ConfigError(f"{self.file}: direction {direction!r} is not two of the columns {self.columns}")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(source, target) languages."""
        return tuple((d.split("-")[0], d.split("-")[1]) for d in self.directions)


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    kind: Literal["byte_bpe", "wordpiece"]
    vocab_size: int
    control_tokens: tuple[str, ...] = ()  # recognised in text that users write


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control token in front of a generator's text (Keskar et al. 2019, CTRL)."""

    column: str  # whose value fills the braces
    token: str  # "<rating:{}>"
    drop: float = 0.1  # share of the examples that are read without it, so that a prompt needs none


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Texts a generator should not learn from."""

    min_characters: int = 1
    max_repeat: int = 1_000_000  # longest run of one character
    min_distinct: float = 0.0  # distinct characters / characters; low in texts that repeat themselves
    blocked: tuple[str, ...] = ()  # texts that contain any of these are left out


@dataclass(frozen=True, kw_only=True)
class Training:
    """The loop. The run ends at `steps` or, with `max_minutes`, when the time is spent, whichever comes first.

    With `max_minutes` the learning rate follows whichever budget is further spent, so that it always ends its schedule;
    such a run depends on the machine's speed and is not reproducible bit by bit.
    """

    steps: int
    batch_tokens: int  # padded, per step
    learning_rate: float  # the peak
    warmup_steps: int
    schedule: Literal["cosine", "inverse_sqrt"] = "cosine"
    max_minutes: float | None = None
    weight_decay: float = 0.01  # of matrices; norms and biases have none
    beta2: float = 0.98
    clip: float = 1.0  # largest gradient norm
    label_smoothing: float = 0.0
    average_decay: float = 0.0  # exponential moving average of the weights, which is what is published; 0: none
    masked_words_steps: int = 0  # of a classifier: so many first steps guess masked words instead of labels
    validate_every: int = 1000  # steps
    save_every: float = 120.0  # seconds between saved states

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch_tokens", 1), ("warmup_steps", 0), ("validate_every", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {least}")
        for name in ("label_smoothing", "average_decay", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 <= {name} < 1")
        if self.learning_rate <= 0 or self.clip <= 0:
            raise ConfigError(f"learning_rate {self.learning_rate} and clip {self.clip} must be above 0")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ConfigError(f"max_minutes is {self.max_minutes}, expected more than 0")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    name: str  # of the published model
    task: Task
    model: dict[str, Any]  # architecture and its config's fields, without vocab_size (and labels)
    tokenizer: TokenizerRecipe
    corpora: tuple[Corpus, ...]
    training: Training
    seed: int = 1
    validation: tuple[Corpus, ...] = ()
    hold_out: int = 0  # examples taken from the first corpus for validation, where there is no file for it
    tests: tuple[Corpus, ...] = ()  # final scores only; their texts are left out of the training data
    labels: tuple[str, ...] = ()  # of a classifier, in the order of its outputs
    control: Control | None = None
    filter: Filter | None = None
    licence: str = ""
    data: str = ""  # what it was trained on, for the manifest
    attribution: str = ""

    def __post_init__(self) -> None:
        if not self.corpora:
            raise ConfigError("corpora is empty: there is nothing to train on")
        if bool(self.validation) == bool(self.hold_out):
            raise ConfigError("give either validation files or hold_out")
        if self.task == "translate" and not all(corpus.directions for corpus in self.corpora):
            raise ConfigError("every corpus of a translator needs directions, such as [fr-en]")
        for corpus in (*self.corpora, *self.validation, *self.tests):
            unknown = sorted(set(corpus.labels.values()) - set(self.labels))
            if unknown:
                raise ConfigError(f"{corpus.file}: labels {unknown} are not among the recipe's {list(self.labels)}")
            if self.task == "classify" and not corpus.labels:
                raise ConfigError(f"{corpus.file}: a classifier's corpus needs labels, such as {{'0': negative}}")

    @property
    def language_pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted({pair for corpus in self.corpora for pair in corpus.pairs}))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises RecipeError, which names the file and the field."""
        if not path.is_file():
            raise RecipeError(f"{path}: no such recipe")
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise RecipeError(f"{path}: not YAML: {error}") from error
        try:
            return cls.from_dict(values)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """From YAML, or from the manifest of a checkpoint that the recipe made. Raises RecipeError."""
        try:
            return _read(cls, values, "recipe")
        except ConfigError as error:
            raise RecipeError(str(error)) from error


def _read(kind: type[T], values: Any, where: str) -> T:
    """Build the dataclass `kind` from a mapping, by its field types."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is {values!r}, expected a mapping")
    hints = typing.get_type_hints(kind)
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(str(name) for name in values if name not in names)
    if unknown:
        raise ConfigError(f"{where} has no field {', '.join(map(repr, unknown))}; known are {', '.join(names)}")
    read = {name: _value(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return kind(**read)
    except TypeError as error:
        raise ConfigError(f"{where}: {str(error).split('() ', 1)[-1]}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return _read(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} is {value!r}, expected a list")
        return tuple(_value(arguments[0], item, f"{where}[{n}]") for n, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is {value!r}, expected a mapping")
        return {str(key): item if arguments[1] is Any else str(item) for key, item in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}, expected one of {', '.join(map(repr, arguments))}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} is {value!r}, expected {hint.__name__}")
    return value
