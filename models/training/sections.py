"""The sections of a recipe: what to read and how, what to learn from whom, how to train. Each checks its own fields.

Knows nothing of a recipe as a whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from models.config import LoraConfig
from models.training.fields import AtLeastOne, Count, Number, Positive, RecipeError, Section, Share, TextByName, Texts

Format = Literal["csv", "tsv", "jsonl", "parquet", "text", "anki", "nsmc"]
FORMATS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"
}  # fmt: skip


class Corpus(Section):
    """One file of the data folder, or one file per language whose lines belong together."""

    columns: Texts  # language codes, or text, pair, label, rating; looked up by name where the file has names
    file: str = ""  # relative to the data folder
    files: TextByName = Field(default_factory=dict)  # column -> file: line-aligned parallel text
    format: Format | None = None  # None: by the file's suffix
    names: TextByName = Field(default_factory=dict)  # column -> what the file calls it, if otherwise
    delimiter: str = ""  # of csv; "": told from the file
    header: bool = True  # of csv: its first row names the columns; else they are in the recipe's order
    limit: AtLeastOne | None = None  # read only so many rows, from the head
    max_broken: Count = 100  # so many rows may be left out that cannot be read: wrong columns, not UTF-8, empty
    directions: Texts = ()  # of a translation corpus: fr-en reads column fr and writes column en
    label_column: str = "label"  # of a classifier
    labels: TextByName = Field(default_factory=dict)  # renames its values; the others are labels as they are
    other_labels: Literal["stop", "leave_out"] = "stop"  # what to do with rows of labels that the recipe does not name
    repeat: AtLeastOne = 1  # times per epoch
    written: TextByName = Field(default_factory=dict)  # column that the teachers write -> of which one

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.file) == bool(self.files):
            raise ValueError(f"a corpus has either a file or files, this one has {self.file!r} and {self.files}")
        if self.files and set(self.files) != set(self.columns):
            raise ValueError(f"{self.name}: files are of the columns {tuple(self.files)}, columns are {self.columns}")
        if self.file and self.format is None and Path(self.file).suffix not in FORMATS:
            raise ValueError(
                f"{self.file}: give its format: the suffix {Path(self.file).suffix!r} is none of {', '.join(FORMATS)}"
            )
        for column, of in self.written.items():
            if not self.file or of not in self.columns or of in self.written:
                raise ValueError(f"{self.name}: {column!r} is to be written of {of!r}, which no column of a file is")
        if self.file and self.layout != "csv" and (self.delimiter or not self.header):
            raise ValueError(f"{self.name}: delimiter and header are of csv, this file is {self.layout}")
        if len(self.delimiter) > 1 or self.delimiter in ('"', "\n", "\r"):
            raise ValueError(f"{self.name}: delimiter is {self.delimiter!r}, expected one character such as ';'")
        for column in self.names:
            if column not in self.columns:
                raise ValueError(f"{self.name}: names has {column!r}, which is none of the columns {self.columns}")
        if self.names and (self.files or not self.header):
            raise ValueError(f"{self.name}: names are of a file with a header, this one has none")
        for direction in self.directions:
            there = {*self.columns, *self.written}
            missing = [language for language in direction.split("-") if language not in there]
            if missing or direction.count("-") != 1:
                raise ValueError(f"{self.name}: direction {direction!r} is not two of the columns {self.columns}")
        return self

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


Corpora = Annotated[tuple[Corpus, ...], Strict(False)]
TokenizerKind = Literal["byte_bpe", "wordpiece"]


class TokenizerRecipe(Section):
    kind: TokenizerKind
    vocab_size: int
    control_tokens: Texts = ()  # recognised in text that users write
    balanced: bool = False  # of a translator: each language counts alike, however much text there is of it


class Control(Section):
    """A control token in front of a generator's text (Keskar et al. 2019, CTRL)."""

    column: str  # whose value fills the braces
    token: str  # "<rating:{}>"
    drop: Number = 0.1  # share of the examples that are read without it, so that a prompt needs none


class Steering(Section):
    """Whether a generator says what it is asked to: samples that a classifier judges when it is published."""

    judge: str  # NAME[@VERSION] of the registry, or a checkpoint directory
    prompts: TextByName  # prompt -> the label that its samples are to get
    samples: AtLeastOne = 100  # of each prompt
    temperature: Number = 1.0
    top_p: Number = 1.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.prompts:
            raise ValueError("steering has no prompts, such as {'<rating:1>': negative}")
        return self


class Cleaning(Section):
    """Rows that training leaves out; the report counts them by reason. Held-out rows are never cleaned."""

    duplicates: bool = False  # a row equal to an earlier one of any corpus; case, punctuation and spaces aside
    max_length_ratio: Annotated[Number, Field(ge=1)] | None = None  # of a translation: longer side / shorter one
    scripts: TextByName = Field(default_factory=dict)  # column -> Unicode script of most of its letters
    min_characters: int = 1
    max_repeat: int | None = None  # longest run of one character
    min_distinct: Annotated[Number, Field(ge=0, le=1)] = 0.0  # distinct characters / all; low in repetitions
    blocked: Texts = ()  # texts that contain any of these, in whichever spelling (`data.blocked`)
    allowed: Texts = ()  # words in which a blocked one begins and which mean something else


class Distillation(Section):
    """Learning from what other models say."""

    teachers: Texts  # runs, NAME[@VERSION] or checkpoint directories; several answer as one, with one voice
    beams: AtLeastOne = 4  # of translators, which write the columns that corpora name as `written`
    length_penalty: Number = 1.0
    temperature: Positive = 1.0  # of classifiers, which say how likely each label is: above 1 they sound less sure
    weight: Annotated[Number, Field(gt=0, le=1)] = 0.5  # of what they say in the loss, beside labels

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.teachers:
            raise ValueError("teachers is empty: name a run, NAME[@VERSION] or a checkpoint directory")
        return self


class Variation(Section):
    """Of a translator's training text, anew whenever it is read. Shares of the examples, each of which is varied in one
    way at most; `data.variations` says what each does."""

    capitals: Share = 0.0  # both sides
    lower_case: Share = 0.0  # the source without capitals, and some of it without accents or a final sign
    final_signs: Share = 0.0  # none, another one, or no space before it
    accents: Share = 0.0  # the source without
    spaces: Share = 0.0  # the source without some
    slips: Share = 0.0  # of typing, in the source
    copies: Share = 0.0  # a number, name, address, placeholder or the like on both sides becomes a random one
    joined: Share = 0.0  # with one to three others, as one text
    split_tokens: Share = 0.0  # share of the tokens, of every example, that are taken apart into smaller ones

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (total := sum(self.model_dump(exclude={"split_tokens"}).values())) > 1:
            raise ValueError(f"the shares of varied examples add up to {total:g}, expected at most 1")
        return self


class Lora(Section):
    """Fine-tuning of adapters alone, and of a classifier's head: what the run starts from stays as it is."""

    rank: int = LoraConfig.rank
    alpha: Number = LoraConfig.alpha
    targets: Texts = LoraConfig.targets
    dropout: Number = LoraConfig.dropout
    merge: bool = True  # into the weights, for a checkpoint like any other; False: keep the adapters beside their base

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.config  # which checks the fields
        return self

    @property
    def config(self) -> LoraConfig:
        return LoraConfig(**self.model_dump(exclude={"merge"}))


class Training(Section):
    """The loop. The run ends at `steps` or, with `max_minutes`, when the time is spent, whichever comes first.

    With `max_minutes` the learning rate follows whichever budget is further spent, so that it always ends its schedule;
    such a run depends on the machine's speed and is not reproducible bit by bit.
    """

    steps: AtLeastOne
    batch_tokens: AtLeastOne  # padded, per batch
    learning_rate: Positive  # the peak
    warmup_steps: Count
    accumulate: AtLeastOne = 1  # batches per step, shared among the workers
    schedule: Literal["cosine", "inverse_sqrt"] = "cosine"
    optimizer: Literal["adamw", "muon"] = "adamw"
    matrix_learning_rate: Positive = 0.02  # the peak of Muon, which moves the layers' matrices; AdamW moves the rest
    max_minutes: Positive | None = None
    weight_decay: Number = 0.01  # of matrices; norms and biases have none
    beta2: Share = 0.98
    clip: Positive = 1.0  # largest gradient norm
    label_smoothing: Share = 0.0
    r_drop: Annotated[Number, Field(ge=0)] = 0.0  # weight of the divergence of two readings with other dropouts; 0: one
    average_decay: Share = 0.0  # exponential moving average of the weights, which is what is published; 0: none
    average_last: Count = 0  # or the mean of the weights at so many last validations; 0: none
    patience: Count = 0  # stop after so many validations without a better one, and publish the best; 0: never
    patience_by: Literal["loss", "score"] = "loss"  # what is better: a lower loss, or a better score (BLEU, accuracy)
    score_texts: Count = 100  # held-out texts translated at each validation, for a translator's score; 0: none
    samples: Count = 3  # held-out examples whose answers are shown at each validation; 0: none
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware computes in it
    compile: bool = False  # torch.compile: minutes at the start, and a compiler on the machine
    validate_every: AtLeastOne = 1000  # steps
    save_every: Number = 120.0  # seconds between saved states

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.average_decay and self.average_last:
            raise ValueError(
                f"average_decay {self.average_decay} and average_last {self.average_last}: choose one way of averaging"
            )
        return self

    def check_workers(self, workers: int) -> None:
        """Raises RecipeError when they cannot share the batches of a step evenly."""
        if workers < 1 or self.accumulate % workers:
            raise RecipeError(
                f"accumulate is {self.accumulate}, which {workers} workers cannot share evenly: make it a multiple of "
                f"{workers} (and batch_tokens smaller, for steps of the same size)"
            )
