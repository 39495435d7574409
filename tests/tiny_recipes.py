"""Tiny data and recipes: everything a training run needs, in a second or two."""

from __future__ import annotations

from pathlib import Path

import yaml

FRENCH = ["le chat", "un chien", "la maison", "le livre", "une fleur", "le soleil", "la lune", "un oiseau"]
ENGLISH = ["the cat", "a dog", "the house", "the book", "a flower", "the sun", "the moon", "a bird"]
GOOD = ["정말 재미있는 영화", "최고의 영화", "아주 좋아요", "감동 그 자체"]
BAD = ["정말 지루한 영화", "최악의 영화", "아주 별로예요", "시간 낭비 그 자체"]
SIZE: dict = {"width": 32, "heads": 2, "feedforward": 64}
TRAINING = {
    "steps": 12,
    "batch_tokens": 200,
    "learning_rate": 0.003,
    "warmup_steps": 4,
    "validate_every": 6,
    "average_decay": 0.9,
}
TRANSLATOR = {
    "name": "translator",
    "task": "translate",
    "model": {"architecture": "seq2seq", "encoder_layers": 1, "decoder_layers": 1, **SIZE},
    "tokenizer": {"kind": "byte_bpe", "vocab_size": 320},
    "corpora": [{"file": "train.tsv", "columns": ["fr", "en"], "directions": ["fr-en", "en-fr"]}],
    "validation": [{"file": "dev.tsv", "columns": ["fr", "en"], "directions": ["fr-en"]}],
    "tests": [{"file": "test.tsv", "columns": ["fr", "en"], "directions": ["fr-en"]}],
    "training": {**TRAINING, "label_smoothing": 0.1},
}
_LABELLED = {"columns": ["label", "text"], "labels": {"0": "negative", "1": "positive"}}
CLASSIFIER = {
    "name": "classifier",
    "task": "classify",
    "model": {"architecture": "bert", "layers": 1, "max_positions": 32, **SIZE},
    "tokenizer": {"kind": "wordpiece", "vocab_size": 120},
    "labels": ["negative", "positive"],
    "corpora": [{"file": "labelled.tsv", **_LABELLED}],
    "hold_out": 16,
    "tests": [{"file": "labelled.test.tsv", **_LABELLED}],
    "training": TRAINING,
}
GENERATOR = {
    "name": "generator",
    "task": "generate",
    "model": {"architecture": "gpt", "layers": 1, "context": 48, **SIZE},
    "tokenizer": {"kind": "byte_bpe", "vocab_size": 340, "control_tokens": ["<rating:2>", "<rating:9>"]},
    "corpora": [{"file": "rated.tsv", "columns": ["rating", "text"]}],
    "control": {"column": "rating", "token": "<rating:{}>"},
    "hold_out": 16,
    "training": TRAINING,
}
ENCODER = {
    "name": "encoder",
    "task": "pretrain",
    "model": CLASSIFIER["model"],
    "tokenizer": CLASSIFIER["tokenizer"],
    "corpora": [{"file": "rated.tsv", "columns": ["rating", "text"]}],
    "hold_out": 16,
    "training": TRAINING,
}
RECIPES: dict[str, dict] = {
    "translator": TRANSLATOR,
    "classifier": CLASSIFIER,
    "generator": GENERATOR,
    "encoder": ENCODER,
}


def write_data(folder: Path) -> Path:
    """A data folder: 160 translations, 160 labelled reviews, 160 rated ones."""
    folder.mkdir()
    pairs = [
        (f"{f} et {g}", f"{e} and {h}")
        for f, e in zip(FRENCH, ENGLISH, strict=True)
        for g, h in zip(FRENCH, ENGLISH, strict=True)
    ]
    _write(folder / "train.tsv", pairs[:-8] * 2)
    _write(folder / "dev.tsv", pairs[-8:-4])
    _write(folder / "test.tsv", pairs[-4:])
    labelled = [("1", text) for text in GOOD] + [("0", text) for text in BAD]
    _write(folder / "labelled.tsv", [(label, f"{text} {n}") for n in range(20) for label, text in labelled])
    _write(folder / "labelled.test.tsv", [(label, f"{text} {n}") for n in range(20, 22) for label, text in labelled])
    rated = [("9", text) for text in GOOD] + [("2", text) for text in BAD]
    _write(folder / "rated.tsv", [(rating, f"{text} {n}") for n in range(20) for rating, text in rated])
    return folder


def _write(path: Path, rows: list[tuple[str, ...]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def write_recipe(folder: Path, recipe: dict, **training: object) -> Path:
    """Write a recipe, with fields of its training section changed; its path."""
    path = folder / f"{recipe['name']}.yaml"
    path.write_text(yaml.safe_dump({**recipe, "training": {**recipe["training"], **training}}, allow_unicode=True))
    return path
