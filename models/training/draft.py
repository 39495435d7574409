"""A recipe for a file that was looked at: complete, commented, and of a size that suits the data and a CPU.

The sizes are those of the shipped recipes for as much text as these have, smaller ones for less.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from models.training.data.labels import LEAST_EXAMPLES, MOST_LABELS
from models.training.data.look import Lengths, Look
from models.training.data.readers import DataError
from models.training.recipe import Task
from models.training.sections import Corpus

BYTES_OF_A_TOKEN = 4  # of UTF-8 text in a vocabulary of thousands, about
ENOUGH = 5  # examples of a label; one with fewer is left out of a draft
_SHOWN = 50  # labels that a draft lists
_LENGTHS = (32, 64, 128, 256, 512)


@dataclass(frozen=True)
class _Size:
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
    _Size(100_000, 64, 2, 0.2, 1000, 1000, 40, 5),
    _Size(2_000_000, 128, 3, 0.2, 4000, 2000, 15, 20),
    _Size(float("inf"), 256, 4, 0.1, 8000, 4000, 4, 60),
)


def name_of(look: Look) -> str:
    """From the file's: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", look.path.stem.lower()).strip("-") or "own"


def draft(look: Look, task: Task, name: str, minutes: float | None = None) -> str:
    """A recipe as YAML. Raises DataError where the file is not enough to learn from."""
    if look.rows < 10:
        raise DataError(f"{look.path}: {look.rows} rows that can be read are not enough to train on")
    tokens = look.size / BYTES_OF_A_TOKEN
    size = next(size for size in _SIZES if tokens <= size.tokens)
    lines = [
        f"# {_TITLES[task]}: {look.path.name} has {look.rows:,} rows, about {tokens:,.0f} tokens. Written by",
        "# `triptych init`; every field is explained in docs/training.md and docs/data.md.",
        f"name: {_flow(name)}",
        f"task: {task}",
        "seed: 1",
        "",
        *_model(look, task, size),
        "",
        *(_labels(look) if task == "classify" else ()),
        "corpora:",
        f"  - {_flow(_fields(look, task))}",
        *_notes(look, task),
        "",
        *_cleaning(look, task),
        *_training(look, task, size, minutes),
        "",
        "# For the model card: the texts' licence, where they come from, whom to name, what the model is not for.",
        'licence: ""',
        'data: ""',
        'attribution: ""',
        'limits: ""',
    ]
    return "\n".join(lines) + "\n"


_TITLES = {"translate": "A translator", "classify": "A classifier", "generate": "A generator"}


def _model(look: Look, task: Task, size: _Size) -> Iterator[str]:
    heads = max(size.width // 64, 2)
    common = [f"  width: {size.width}", f"  heads: {heads}", f"  feedforward: {4 * size.width}"]
    yield "model:"
    if task == "translate":
        longest = _length(max(lengths.most for lengths in look.texts.values()), 64)
        yield from ("  architecture: seq2seq", *common)
        yield f"  encoder_layers: {size.layers}"
        yield _line(f"  decoder_layers: {max(size.layers // 2, 1)}", "few: decoding is what costs when serving")
        yield f"  dropout: {size.dropout}"
        yield _line(f"  max_source: {longest}", "tokens; longer translations are left out")
        yield f"  max_target: {longest}"
    elif task == "generate":
        yield from ("  architecture: gpt", *common, f"  layers: {size.layers}", f"  dropout: {size.dropout}")
        yield _line(f"  context: {_context(look)}", "tokens that it reads at once; longer texts are read in parts")
    else:
        yield from ("  architecture: bert", *common, f"  layers: {size.layers}", f"  dropout: {size.dropout}")
        yield "  norm: pre"
        longest = _length(sum(lengths.most for lengths in look.texts.values()), 64)
        yield _line(f"  max_positions: {longest}", "tokens; longer texts are cut")
    yield ""
    kind = "wordpiece" if task == "classify" else "byte_bpe"
    yield f"tokenizer: {{kind: {kind}, vocab_size: {size.vocabulary}}}"


def _context(look: Look) -> int:
    return 256 if _packs(look) else _length(look.texts["text"].most, 64)


def _packs(look: Look) -> bool:
    """Prose, and texts that are longer than a model of this size reads at once."""
    return look.is_prose or look.texts["text"].median > 256 * BYTES_OF_A_TOKEN


def _length(size: int, least: int) -> int:
    """Tokens for texts of so many bytes, with room: short words and rare languages have more tokens."""
    wanted = 2 * size / BYTES_OF_A_TOKEN
    return next((length for length in _LENGTHS if length >= max(wanted, least)), _LENGTHS[-1])


def left_out(look: Look) -> list[str]:
    """Labels that are too rare to learn."""
    return [label for label, rows in look.labels.items() if rows < ENOUGH]


def _labels(look: Look) -> Iterator[str]:
    if len(look.labels) > MOST_LABELS:
        some = ", ".join(repr(label[:40]) for label in list(look.labels)[:3])
        raise DataError(
            f"{look.path}: column {look.corpus.called('label')!r} has more than {MOST_LABELS:,} values, such as "
            f"{some}: these are texts. Say which column has the labels with --label"
        )
    rare = left_out(look)
    kept = sorted(label for label in look.labels if label not in rare)
    if len(kept) < 2:
        has = ", ".join(f"{label[:40]!r} ({rows:,})" for label, rows in list(look.labels.items())[:5])
        raise DataError(
            f"{look.path}: two labels with at least {ENOUGH} rows each are needed, column "
            f"{look.corpus.called('label')!r} has {has}"
        )
    if len(kept) <= _SHOWN or rare:
        yield f"labels: {_flow(kept)}"
        if rare:
            some = " ".join(", ".join(rare[:5]).split()) + (", ..." if len(rare) > 5 else "")
            yield f"# Left out, with fewer than {ENOUGH} rows each: {some}."
            yield "# To rename one that is misspelt, give the corpus `labels: {misspelt: right}`."
    else:
        yield f"# Labels: those of the data, {len(kept)}. Each needs at least {LEAST_EXAMPLES} examples to train on."
    yield ""


def _fields(look: Look, task: Task) -> dict[str, Any]:
    """What differs from a corpus's defaults."""
    corpus = look.corpus
    fields = {
        field.name: _plain(getattr(corpus, field.name))
        for field in dataclasses.fields(Corpus)
        if field.name == "columns" or getattr(corpus, field.name) != _default(field)
    }
    if task == "classify" and left_out(look):
        fields["other_labels"] = "leave_out"
    return {"file": fields.pop("file"), **fields}


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _notes(look: Look, task: Task) -> Iterator[str]:
    if look.broken[0]:
        yield f"  # {look.broken[0]:,} rows cannot be read, the first: {' '.join(look.broken[1].split())}"
    if task == "translate":
        yield "  # Both directions are learned by one model; leave one out if you do not need it."
    if task == "generate" and look.corpus.layout == "text" and not _packs(look):
        yield "  # Each line is a text of its own. Where lines belong together, say packing: blocks."


def _cleaning(look: Look, task: Task) -> Iterator[str]:
    if task == "generate" and _packs(look):
        parted = "blank lines part them" if look.is_prose else "each row is one"
        yield _line("packing: blocks", f"documents ({parted}) fill the context, one behind the other")
    else:
        yield "cleaning: {duplicates: true}"
    units = look.passages if task == "generate" and _packs(look) else look.rows
    yield ""
    yield _line(f"hold_out: {_held_out(units)}", f"of {units:,}, to validate on: they do not train")
    yield ""


def _held_out(units: int) -> int:
    return max(1, min(2000, units // 20 if units >= 1000 else units // 10, units // 2))


def _training(look: Look, task: Task, size: _Size, minutes: float | None) -> Iterator[str]:
    directions = len(look.corpus.directions) / 2 or 1
    epoch = look.size / BYTES_OF_A_TOKEN * directions
    steps = int(min(max(size.epochs * epoch / size.batch_tokens, 200), 20_000))
    steps = round(steps, -2)
    budget = size.minutes if minutes is None else minutes
    matrix = "0.01" if task == "classify" else "0.02"
    yield "training:"
    times = steps * size.batch_tokens / max(epoch, 1)
    yield _line(f"  steps: {steps}", f"about {times:,.0f} times through the data")
    yield _line(f"  max_minutes: {budget:g}", "whichever comes first; the learning rate ends at zero either way")
    yield _line("  patience: 5", "ends after so many validations without a lower loss, and keeps the best")
    yield f"  batch_tokens: {size.batch_tokens}"
    yield f"  learning_rate: {'1.0e-3' if task == 'classify' else '3.0e-3'}"
    yield f"  warmup_steps: {max(steps // 20, 10)}"
    yield "  schedule: cosine"
    yield "  optimizer: muon"
    yield f"  matrix_learning_rate: {matrix}"
    if task == "translate":
        yield "  label_smoothing: 0.1"
    yield f"  average_decay: {0.998 if steps >= 3000 else 0.99}"
    yield f"  validate_every: {max(steps // 20, 10)}"


def _line(text: str, comment: str) -> str:
    return f"{text:<26} # {comment}"


def _flow(value: Any) -> str:
    """As YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=float("inf"))
    return text.removesuffix("\n...\n").strip()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def described(lengths: Lengths) -> str:
    return f"texts of {lengths.median:,} bytes in the middle, 99 % of them of no more than {lengths.most:,}"
