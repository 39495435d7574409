"""What manifest.json of a checkpoint says of it: what the model is, what it was trained on, how well it does, and the
SHA-256 of every other file. Knows nothing of these files' contents."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, get_origin, get_type_hints

from models.config import LoraConfig
from models.embedder import Pooled
from models.formats import Format
from models.lineage import Ancestor, read_lineage
from models.names import NAME

FORMAT_VERSION = 4
CONFIG, WEIGHTS, TOKENIZER, MANIFEST = "config.json", "model.safetensors", "tokenizer.json", "manifest.json"
CARD, CURVES = "README.md", "curves.png"
ADAPTER = "adapter.safetensors"  # in the place of WEIGHTS
TARGET_TOKENIZER = "target_tokenizer.json"  # of a translator that reads its two languages by two vocabularies
SHORTLIST = "shortlist.safetensors"  # of a translator: which tokens a source's translation can have
FILES = (CONFIG, WEIGHTS, TOKENIZER)  # what every whole checkpoint has; the manifest has their hashes
EXTRAS = (TARGET_TOKENIZER, SHORTLIST, CARD, CURVES)  # what it may have; the manifest then has their hashes, too
# The format that brought a field. Where these are empty, a manifest is written as 1, which earlier releases read.
_SINCE = {"lineage": 2, "adapter": 2, "chat_template": 3, "score_function": 4, "format": 4, "also": 4, "embedding": 4}
_KNOWN = (*FILES, ADAPTER, *EXTRAS)
_HASH = re.compile("[0-9a-f]{64}")
_VERSION = re.compile(rf"{NAME.pattern}@[1-9][0-9]*")
_IN_WORDS = {str: "a text", int: "a whole number", bool: "true or false", dict: "an object"}  # what JSON gives
PRETRAINED = "pretrain"  # the task of an encoder that recipes start from
TASKS = ("translate", "generate", "classify", PRETRAINED)


class CheckpointError(Exception):
    """A directory that is not a sound checkpoint of a known architecture; the message names the file."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """What a checkpoint that is kept beside its base stands on."""

    base: str  # NAME@VERSION, of the same registry
    base_sha256: str  # of the base's weights
    lora: LoraConfig

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Raises ValueError."""
        if not isinstance(values, dict) or set(values) != {f.name for f in fields(cls)}:
            raise ValueError(f"adapter is {values!r}, expected base, base_sha256 and lora")
        if not _VERSION.fullmatch(str(values["base"])):
            raise ValueError(f"adapter.base is {values['base']!r}, expected NAME@VERSION")
        if not _HASH.fullmatch(str(values["base_sha256"])):
            raise ValueError(f"adapter.base_sha256 is {values['base_sha256']!r}, expected 64 hexadecimal digits")
        lora = {**values["lora"], "targets": tuple(values["lora"]["targets"])}
        return cls(base=values["base"], base_sha256=values["base_sha256"], lora=LoraConfig(**lora))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What manifest.json holds."""

    name: str  # of the model in a registry
    architecture: str
    task: str  # one of TASKS
    also: tuple[str, ...] = ()  # others of TASKS that it can be served for
    version: int = 0  # in a registry; 0: not published
    language_pairs: tuple[tuple[str, str], ...] = ()  # (source, target) of a translator
    labels: tuple[str, ...] = ()  # of a classifier, in the order of its outputs
    takes_pairs: bool = False  # a classifier that was trained on pairs of texts
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)  # what it answers well: what one shows -> request
    scores: dict[str, Any] = field(default_factory=dict)  # as measured
    data: str = ""  # what it was trained on
    licence: str = ""
    attribution: str = ""
    training: dict[str, Any] = field(default_factory=dict)  # recipe, steps, minutes, device
    versions: dict[str, str] = field(default_factory=dict)  # of the libraries that made it
    files: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> sha256, bytes
    publication: dict[str, Any] = field(default_factory=dict)  # when, the note, what it was compared with, if forced
    lineage: tuple[Ancestor, ...] = ()  # the models it was made with
    adapter: Adapter | None = None  # of a checkpoint that is kept beside its base
    chat_template: str = ""  # of a generator that was trained on conversations: how they are written (`models.chat`)
    score_function: str = ""  # of a classifier of elsewhere: what makes scores of its outputs; none: softmax
    format: Format | None = None  # of a model of elsewhere: what its texts are read with; None: as ours are
    embedding: Pooled | None = None  # of an encoder that was trained for vectors of texts; None: as ours are

    @property
    def reference(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"

    @property
    def format_version(self) -> int:
        """The least that can say all of this."""
        return max((since for name, since in _SINCE.items() if getattr(self, name)), default=1)

    @property
    def made_for(self) -> tuple[str, ...]:
        """The tasks that it has learned, its own first."""
        return (self.task, *self.also)

    @property
    def pretrained(self) -> bool:
        """It has learned no task: it is what recipes start from."""
        return self.task == PRETRAINED

    @property
    def served_as(self) -> str:
        """What a service answers with it, unless it is told something else; `examples` are requests of this task."""
        return "embed" if self.pretrained else self.task

    def check_fine_tuned(self, called: str = "") -> None:
        """Raises ValueError for an encoder that has learned no task. The message calls it `called`, or by version."""
        if self.pretrained:
            raise ValueError(
                f"{called or self.reference} is a pre-trained encoder: fine-tune it with a recipe of the task classify "
                f"that has start: {self.name}, and serve what comes of it; as it is, it can be served for embed"
            )

    @property
    def weights(self) -> str:
        """The file of its weights."""
        return WEIGHTS if self.adapter is None else ADAPTER

    @property
    def weights_sha256(self) -> str:
        """Empty where its files are not known."""
        return self.files.get(self.weights, {}).get("sha256", "")

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(facts["bytes"] for facts in self.files.values())

    def to_json(self) -> str:
        values = dataclasses.asdict(self)
        for name in _SINCE:
            if not values[name]:
                del values[name]
        first = {name: values.pop(name) for name in ("name", "architecture", "task", "version")}
        values = {**first, "format_version": self.format_version, **values}
        return json.dumps(values, ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: dict[str, Any], path: Path) -> Self:
        """Raises CheckpointError: a newer format, a field that is missing or unknown."""
        values = dict(values)
        newest = values.pop("format_version", None)
        if type(newest) is not int or newest > FORMAT_VERSION:
            raise CheckpointError(f"{path}: format_version is {newest!r}, this release reads up to {FORMAT_VERSION}")
        unknown = sorted(values.keys() - {f.name for f in fields(cls)})
        if unknown:
            raise CheckpointError(f"{path}: unknown field {', '.join(map(repr, unknown))}")
        for task in (values.get("task"), *values.get("also", ())):
            if task not in TASKS:
                raise CheckpointError(f"{path}: task is {task!r}, expected one of {', '.join(TASKS)}")
        for name, hint in get_type_hints(cls).items():
            expected = get_origin(hint) or hint
            if name in values and expected in _IN_WORDS and type(values[name]) is not expected:
                raise CheckpointError(f"{path}: {name} is {values[name]!r}, expected {_IN_WORDS[expected]}")
        for name, facts in values.get("files", {}).items():
            if name not in _KNOWN:  # a name could lead out of the directory
                raise CheckpointError(f"{path}: files has {name!r}, known are {', '.join(_KNOWN)}")
            known = isinstance(facts, dict) and isinstance(facts.get("bytes"), int)
            if not known or not _HASH.fullmatch(str(facts.get("sha256"))):
                raise CheckpointError(f"{path}: files has {facts!r} for {name}, expected sha256 and bytes")
        examples = values.get("examples", {})
        if not all(isinstance(body, dict) for body in examples.values()):
            raise CheckpointError(f"{path}: examples is {examples!r}, expected a request for each thing that one shows")
        try:
            tuples: dict[str, Any] = {
                "language_pairs": tuple((source, target) for source, target in values.get("language_pairs", ())),
                "labels": tuple(values.get("labels", ())),
                "also": tuple(values.get("also", ())),
                "lineage": read_lineage(values.get("lineage", ())),
                "adapter": None if values.get("adapter") is None else Adapter.from_dict(values["adapter"]),
                "format": None if values.get("format") is None else Format.from_dict(values["format"]),
                "embedding": None if values.get("embedding") is None else Pooled.from_dict(values["embedding"]),
            }
            return cls(**{**values, **tuples})
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: {error}") from error


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """From the bytes of a manifest.json; messages call it `path`. Raises CheckpointError."""
    return Manifest.from_dict(parse_json(content, path), path)


def parse_json(content: bytes, path: Path) -> dict[str, Any]:
    """The object in the bytes of a file; messages call it `path`. Raises CheckpointError."""
    try:
        values = json.loads(content.decode())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: holds {type(values).__name__}, expected an object")
    return values
