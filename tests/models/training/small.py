"""Trainings that take a moment: a tiny generator that learns to count."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.architectures import build
from models.config import GPTConfig
from models.training.data.examples import Example, Examples
from models.training.objectives import CausalLanguageModel
from models.training.sections import Training
from models.training.state import Measurement
from models.training.trainer import Trainer
from tests.models.training.reading import examples_of

VOCABULARY = 40


def recipe(**changes) -> Training:
    values = {"steps": 12, "batch_tokens": 60, "learning_rate": 0.01, "warmup_steps": 2, "validate_every": 4}
    return Training(**{**values, "precision": "float32", **changes})


def texts(count: int, seed: int) -> Examples:
    """Of counting up, which is easily learned."""
    random = np.random.default_rng(seed)
    rows = [np.arange(start, start + random.integers(3, 9)) % 30 + 5 for start in random.integers(0, 30, count)]
    return examples_of([Example(np.array([1], np.int32), row.astype(np.int32)) for row in rows])


def trainer(
    directory: Path, settings: Training, *, model: nn.Module | None = None, dropout: float = 0.1, **more
) -> Trainer:
    directory.mkdir(exist_ok=True)
    torch.manual_seed(1)
    config = GPTConfig(
        vocab_size=VOCABULARY, width=16, heads=2, feedforward=32, layers=1, context=16, dropout=dropout, pad_id=0
    )
    arguments = {
        "objective": CausalLanguageModel(0),
        "training": texts(50, 1),
        "validation": texts(20, 2),
        "recipe_hash": "hash",
        "seed": 7,
        "device": torch.device("cpu"),
        "say": lambda line: None,
    }
    return Trainer("name", model or build(config), settings, directory=directory, **{**arguments, **more})


def weights(one: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in one.model.named_parameters()}


def assert_equal(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name


def log(directory: Path, name: str = "metrics.jsonl") -> list[dict]:
    return [json.loads(line) for line in (directory / name).read_text().splitlines()]


class Killed(BaseException):
    """Stands for kill -9: nothing gets to run."""


def do_at(monkeypatch, step: int, action) -> None:
    """Do `action` when step `step` has been computed, and not counted yet."""
    original = Trainer._step

    def stepping(self, *arguments):
        loss = original(self, *arguments)
        if self.progress.step + 1 == step:
            action()
        return loss

    monkeypatch.setattr(Trainer, "_step", stepping)


def die() -> None:
    raise Killed


def run_all(runs: Sequence[Trainer]) -> list[Measurement | None]:
    """Of workers that share a training, each in a thread; what each measured."""
    results: list[Measurement | None] = [None] * len(runs)
    threads = [
        threading.Thread(target=lambda rank=rank, one=one: results.__setitem__(rank, one.run()))
        for rank, one in enumerate(runs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
