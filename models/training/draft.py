"""A recipe for a file that was looked at: complete, commented, and of a size that suits the data and a CPU.

The sizes are those of the shipped recipes for as much text as these have, smaller ones for less.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.training.data.look import Look, Table, Told, find_texts
from models.training.data.readers import DataError
from models.training.sections import TokenizerKind

BYTES_OF_A_TOKEN = 4  # of UTF-8 text in a vocabulary of thousands, about
_LENGTHS = (32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Size:
    """Of a model and its training, for so much text."""

    tokens: float  # up to so many
    width: int
    layers: int
    dropout: float
    vocabulary: int
    batch_tokens: int
    epochs: int
    minutes: int


_SIZES = (
    Size(100_000, 64, 2, 0.2, 1000, 1000, 40, 5),
    Size(2_000_000, 128, 3, 0.2, 4000, 2000, 15, 20),
    Size(float("inf"), 256, 4, 0.1, 8000, 4000, 4, 60),
)


def name_of(look: Look) -> str:
    """From the file's: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", look.path.stem.lower()).strip("-") or "own"


class DraftedTask(ABC):
    """What a draft has to know of a task."""

    name: str
    noun: str
    tokenizer: TokenizerKind
    learning_rate = "3.0e-3"
    matrix_learning_rate = "0.02"
    label_smoothing = 0.0
    reads: tuple[str, ...] = ()  # of text, pair and label

    def find_columns(self, path: Path, table: Table, told: Told) -> dict[str, str]:
        """What the task reads, and the file's name (or position) for it. Raises DataError."""
        return find_texts(path, table, told, self.reads)

    @abstractmethod
    def drafted_model(self, look: Look, size: Size, common: Sequence[str]) -> Iterator[str]:
        """The lines of the model section; `common` are those that every architecture has."""

    def drafted_corpus(self, look: Look) -> Iterator[str]:
        """Comments on the corpus."""
        return iter(())

    def drafted_labels(self, look: Look) -> Iterator[str]:
        """The lines that say which labels there are. Raises DataError where there are not enough of them."""
        return iter(())

    def drafted_fields(self, look: Look) -> dict[str, Any]:
        """Of the corpus, beside those that the look found."""
        return {}

    def packs(self, look: Look) -> bool:
        """Whether documents are to fill the context."""
        return False


def draft(look: Look, task: DraftedTask, name: str, minutes: float | None = None) -> str:
    """A recipe as YAML. Raises DataError where the file is not enough to learn from."""
    if look.rows < 10:
        raise DataError(f"{look.path}: {look.rows} rows that can be read are not enough to train on")
    tokens = look.size / BYTES_OF_A_TOKEN
    size = next(size for size in _SIZES if tokens <= size.tokens)
    common = [f"  width: {size.width}", f"  heads: {max(size.width // 64, 2)}", f"  feedforward: {4 * size.width}"]
    parted = "blank lines part them" if look.is_prose else "each row is one"
    packing = commented("packing: blocks", f"documents ({parted}) fill the context, one behind the other")
    broken = " ".join(look.broken[1].split())
    units = look.passages if task.packs(look) else look.rows
    lines = [
        f"# {task.noun.capitalize()}: {look.path.name} has {look.rows:,} rows, about {tokens:,.0f} tokens. Written by",
        "# `triptych init`; every field is explained in docs/training.md and docs/data.md.",
        f"name: {flow(name)}",
        f"task: {task.name}",
        "seed: 1",
        "",
        "model:",
        *task.drafted_model(look, size, common),
        "",
        f"tokenizer: {{kind: {task.tokenizer}, vocab_size: {size.vocabulary}}}",
        "",
        *task.drafted_labels(look),
        "corpora:",
        f"  - {flow(_fields(look, task))}",
        *([f"  # {look.broken[0]:,} rows cannot be read, the first: {broken}"] if broken else []),
        *task.drafted_corpus(look),
        "",
        packing if task.packs(look) else "cleaning: {duplicates: true}",
        "",
        commented(f"hold_out: {_held_out(units)}", f"of {units:,}, to validate on: they do not train"),
        "",
        *_training(look, task, size, minutes),
        "",
        "# For the model card: the texts' licence, where they come from, whom to name, what the model is not for.",
        'licence: ""',
        'data: ""',
        'attribution: ""',
        'limits: ""',
    ]
    return "\n".join(lines) + "\n"


def length(size: int, least: int) -> int:
    """Tokens for texts of so many bytes, with room: short words and rare languages have more tokens."""
    wanted = 2 * size / BYTES_OF_A_TOKEN
    return next((length for length in _LENGTHS if length >= max(wanted, least)), _LENGTHS[-1])


def _fields(look: Look, task: DraftedTask) -> dict[str, Any]:
    """What differs from a corpus's defaults."""
    fields = {**look.corpus.model_dump(mode="json", exclude_defaults=True), **task.drafted_fields(look)}
    return {"file": fields.pop("file"), **fields}


def _held_out(units: int) -> int:
    return max(1, min(2000, units // 20 if units >= 1000 else units // 10, units // 2))


def _training(look: Look, task: DraftedTask, size: Size, minutes: float | None) -> Iterator[str]:
    directions = len(look.corpus.directions) / 2 or 1
    epoch = look.size / BYTES_OF_A_TOKEN * directions
    steps = round(int(min(max(size.epochs * epoch / size.batch_tokens, 200), 20_000)), -2)
    budget = size.minutes if minutes is None else minutes
    times = steps * size.batch_tokens / max(epoch, 1)
    yield "training:"
    yield commented(f"  steps: {steps}", f"about {times:,.0f} times through the data")
    yield commented(f"  max_minutes: {budget:g}", "whichever comes first; the learning rate ends at zero either way")
    yield commented("  patience: 5", "ends after so many validations without a lower loss, and keeps the best")
    yield f"  batch_tokens: {size.batch_tokens}"
    yield f"  learning_rate: {task.learning_rate}"
    yield f"  warmup_steps: {max(steps // 20, 10)}"
    yield "  schedule: cosine"
    yield "  optimizer: muon"
    yield f"  matrix_learning_rate: {task.matrix_learning_rate}"
    if task.label_smoothing:
        yield f"  label_smoothing: {task.label_smoothing}"
    yield f"  average_decay: {0.998 if steps >= 3000 else 0.99}"
    yield f"  validate_every: {max(steps // 20, 10)}"


def commented(text: str, comment: str) -> str:
    return f"{text:<26} # {comment}"


def flow(value: Any) -> str:
    """As YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=float("inf"))
    return text.removesuffix("\n...\n").strip()
