"""The sections of a recipe: what to read and how, what to learn from whom, how to train. Each checks its own fields.

Knows nothing of a recipe as a whole.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.config import ConfigError, LoraConfig

Format = Literal["csv", "tsv", "jsonl", "parquet", "text", "anki", "nsmc"]
FORMATS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"
}  # fmt: skip


class RecipeError(ValueError):
    """A recipe that cannot be run; the message names the file and the field."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One file of the data folder, or one file per language whose lines belong together."""

    columns: tuple[str, ...]  # language codes, or text, pair, label, rating; looked up by name where the file has names
    file: str = ""  # relative to the data folder
    files: dict[str, str] = dataclasses.field(default_factory=dict)  # column -> file: line-aligned parallel text
    format: Format | None = None  # None: by the file's suffix
    names: dict[str, str] = dataclasses.field(default_factory=dict)  # column -> what the file calls it, if otherwise
    delimiter: str = ""  # of csv; "": told from the file
    header: bool = True  # of csv: its first row names the columns; else they are in the recipe's order
    limit: int | None = None  # read only so many rows, from the head
    max_broken: int = 100  # rows that cannot be read (wrong columns, not UTF-8, empty) are left out, up to so many
    directions: tuple[str, ...] = ()  # of a translation corpus: fr-en reads column fr and writes column en
    label_column: str = "label"  # of a classifier
    labels: dict[str, str] = dataclasses.field(
        default_factory=dict
    )  # renames its values; the others are labels as they are
    other_labels: Literal["stop", "leave_out"] = "stop"  # what to do with rows of labels that the recipe does not name
    repeat: int = 1  # times per epoch
    written: dict[str, str] = dataclasses.field(default_factory=dict)  # column that the teachers write -> of which one

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.files):
            raise ConfigError(f"a corpus has either a file or files, this one has {self.file!r} and {self.files}")
        if self.files and set(self.files) != set(self.columns):
            raise ConfigError(f"{self.name}: files are of the columns {tuple(self.files)}, columns are {self.columns}")
        if self.file and self.format is None and Path(self.file).suffix not in FORMATS:
            raise ConfigError(
                f"{self.file}: give its format: the suffix {Path(self.file).suffix!r} is none of {', '.join(FORMATS)}"
            )
        for name, least in (("repeat", 1), ("limit", 1), ("max_broken", 0)):
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise ConfigError(f"{self.name}: {name} is {getattr(self, name)}, expected at least {least}")
        for column, of in self.written.items():
            if not self.file or of not in self.columns or of in self.written:
                raise ConfigError(f"{self.name}: {column!r} is to be written of {of!r}, which no column of a file is")
        if self.file and self.layout != "csv" and (self.delimiter or not self.header):
            raise ConfigError(f"{self.name}: delimiter and header are of csv, this file is {self.layout}")
        if len(self.delimiter) > 1 or self.delimiter in ('"', "\n", "\r"):
            raise ConfigError(f"{self.name}: delimiter is {self.delimiter!r}, expected one character such as ';'")
        for column in self.names:
            if column not in self.columns:
                raise ConfigError(f"{self.name}: names has {column!r}, which is none of the columns {self.columns}")
        if self.names and (self.files or not self.header):
            raise ConfigError(f"{self.name}: names are of a file with a header, this one has none")
        for direction in self.directions:
            there = {*self.columns, *self.written}
            missing = [language for language in direction.split("-") if language not in there]
            if missing or direction.count("-") != 1:
                raise ConfigError(f"{self.name}: direction {direction!r} is not two of the columns {self.columns}")

    @property
    def name(self) -> str:
        """As messages and reports call it."""
        name = self.file or " + ".join(self.files.values())
        written = ", ".join(f"{column} written of {of}" for column, of in self.written.items())
        return f"{name} ({written})" if written else name

    @property
    def has_labels(self) -> bool:
        """Of a classifier. Training texts without teach what a teacher says of them; of a test, no label fits them."""
        return self.label_column in self.columns

    @property
    def layout(self) -> Format:
        """Of `file`."""
        return self.format or FORMATS[Path(self.file).suffix]

    def called(self, column: str) -> str:
        """What the file calls it."""
        return self.names.get(column, column)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(source, target) languages."""
        return tuple((d.split("-")[0], d.split("-")[1]) for d in self.directions)


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    kind: Literal["byte_bpe", "wordpiece"]
    vocab_size: int
    control_tokens: tuple[str, ...] = ()  # recognised in text that users write
    balanced: bool = False  # of a translator: each language counts alike, however much text there is of it


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control token in front of a generator's text (Keskar et al. 2019, CTRL)."""

    column: str  # whose value fills the braces
    token: str  # "<rating:{}>"
    drop: float = 0.1  # share of the examples that are read without it, so that a prompt needs none


@dataclass(frozen=True, kw_only=True)
class Steering:
    """Whether a generator says what it is asked to: samples that a classifier judges when it is published."""

    judge: str  # NAME[@VERSION] of the registry, or a checkpoint directory
    prompts: dict[str, str]  # prompt -> the label that its samples are to get
    samples: int = 100  # of each prompt
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not self.prompts:
            raise ConfigError("steering has no prompts, such as {'<rating:1>': negative}")
        if self.samples < 1:
            raise ConfigError(f"samples is {self.samples}, expected at least 1")


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """Rows that training leaves out; the report counts them by reason. Held-out rows are never cleaned."""

    duplicates: bool = False  # a row equal to an earlier one of any corpus; case, punctuation and spaces aside
    max_length_ratio: float | None = None  # of a translation: characters of the longer side / of the shorter
    scripts: dict[str, str] = dataclasses.field(default_factory=dict)  # column -> Unicode script of most of its letters
    min_characters: int = 1
    max_repeat: int | None = None  # longest run of one character
    min_distinct: float = 0.0  # distinct characters / characters; low in texts that repeat themselves
    blocked: tuple[str, ...] = ()  # texts that contain any of these, in whichever spelling (`data.blocked`)
    allowed: tuple[str, ...] = ()  # words in which a blocked one begins and which mean something else

    def __post_init__(self) -> None:
        if self.max_length_ratio is not None and self.max_length_ratio < 1:
            raise ConfigError(f"max_length_ratio is {self.max_length_ratio}, expected at least 1")
        if not 0 <= self.min_distinct <= 1:
            raise ConfigError(f"min_distinct is {self.min_distinct}, expected a share from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """Learning from what other models say."""

    teachers: tuple[str, ...]  # runs, NAME[@VERSION] or checkpoint directories; several answer as one, with one voice
    beams: int = 4  # of translators, which write the columns that corpora name as `written`
    length_penalty: float = 1.0
    temperature: float = 1.0  # of classifiers, which say how likely each label is: above 1 they sound less sure
    weight: float = 0.5  # of what classifiers say in the loss; the rest is that of the labels

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ConfigError(f"temperature is {self.temperature}, expected more than 0")
        if not 0 < self.weight <= 1:
            raise ConfigError(f"weight is {self.weight}, expected more than 0 and at most 1")
        if not self.teachers:
            raise ConfigError("teachers is empty: name a run, NAME[@VERSION] or a checkpoint directory")
        if self.beams < 1:
            raise ConfigError(f"beams is {self.beams}, expected at least 1")


@dataclass(frozen=True, kw_only=True)
class Variation:
    """Of a translator's training text, anew whenever it is read. Shares of the examples, each of which is varied in one
    way at most; `data.variations` says what each does."""

    capitals: float = 0.0  # both sides
    lower_case: float = 0.0  # the source without capitals, and some of it without accents or a final sign
    final_signs: float = 0.0  # none, another one, or no space before it
    accents: float = 0.0  # the source without
    spaces: float = 0.0  # the source without some
    slips: float = 0.0  # of typing, in the source
    copies: float = 0.0  # a number, name, address, placeholder or the like on both sides becomes a random one
    joined: float = 0.0  # with one to three others, as one text
    split_tokens: float = 0.0  # share of the tokens, of every example, that are taken apart into smaller ones

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, value in values.items():
            if not 0 <= value < 1:
                raise ConfigError(f"{name} is {value}, expected a share from 0 to below 1")
        if (total := sum(values.values()) - self.split_tokens) > 1:
            raise ConfigError(f"the shares of varied examples add up to {total:g}, expected at most 1")


@dataclass(frozen=True, kw_only=True)
class Lora(LoraConfig):
    """Fine-tuning of adapters alone, and of a classifier's head: what the run starts from stays as it is."""

    merge: bool = True  # into the weights, for a checkpoint like any other; False: keep the adapters beside their base


@dataclass(frozen=True, kw_only=True)
class Training:
    """The loop. The run ends at `steps` or, with `max_minutes`, when the time is spent, whichever comes first.

    With `max_minutes` the learning rate follows whichever budget is further spent, so that it always ends its schedule;
    such a run depends on the machine's speed and is not reproducible bit by bit.
    """

    steps: int
    batch_tokens: int  # padded, per batch
    learning_rate: float  # the peak
    warmup_steps: int
    accumulate: int = 1  # batches per step, shared among the workers
    schedule: Literal["cosine", "inverse_sqrt"] = "cosine"
    optimizer: Literal["adamw", "muon"] = "adamw"
    matrix_learning_rate: float = 0.02  # the peak of Muon, which moves the layers' matrices; AdamW moves the rest
    max_minutes: float | None = None
    weight_decay: float = 0.01  # of matrices; norms and biases have none
    beta2: float = 0.98
    clip: float = 1.0  # largest gradient norm
    label_smoothing: float = 0.0
    r_drop: float = 0.0  # weight of the divergence of two readings with dropouts of their own; 0: one reading
    average_decay: float = 0.0  # exponential moving average of the weights, which is what is published; 0: none
    average_last: int = 0  # or the mean of the weights at so many last validations; 0: none
    patience: int = 0  # stop after so many validations without a better one, and publish the best; 0: never
    patience_by: Literal["loss", "score"] = "loss"  # what is better: a lower loss, or a better score (BLEU, accuracy)
    score_texts: int = 100  # held-out texts that a translator translates at each validation, for its score; 0: none
    samples: int = 3  # held-out examples whose answers are shown at each validation; 0: none
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware computes in it
    compile: bool = False  # torch.compile: minutes at the start, and a compiler on the machine
    validate_every: int = 1000  # steps
    save_every: float = 120.0  # seconds between saved states

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1), ("batch_tokens", 1), ("warmup_steps", 0), ("validate_every", 1), ("accumulate", 1),
            ("average_last", 0), ("patience", 0), ("score_texts", 0), ("samples", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {least}")
        for name in ("label_smoothing", "average_decay", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 <= {name} < 1")
        if self.r_drop < 0:
            raise ConfigError(f"r_drop is {self.r_drop}, expected at least 0")
        for name in ("learning_rate", "matrix_learning_rate", "clip"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0")
        if self.average_decay and self.average_last:
            raise ConfigError(
                f"average_decay {self.average_decay} and average_last {self.average_last}: choose one way of averaging"
            )
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ConfigError(f"max_minutes is {self.max_minutes}, expected more than 0")

    def check_workers(self, workers: int) -> None:
        """Raises RecipeError when they cannot share the batches of a step evenly."""
        if workers < 1 or self.accumulate % workers:
            raise RecipeError(
                f"accumulate is {self.accumulate}, which {workers} workers cannot share evenly: make it a multiple of "
                f"{workers} (and batch_tokens smaller, for steps of the same size)"
            )
