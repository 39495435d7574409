from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from models import checkpoint
from models.training.loading import read_recipe
from tests import checkpoints, tiny_recipes

MAKE = {
    "translator": checkpoints.translator,
    "classifier": checkpoints.classifier,
    "generator": checkpoints.generator,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only lose by sharing the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoint directories with random weights, by task."""
    root = tmp_path_factory.mktemp("checkpoints")
    for name, make in MAKE.items():
        make(root / name)
    return {name: root / name for name in MAKE}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_recipes.write_data(tmp_path / "data")


@pytest.fixture
def of_recipe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint with random weights whose manifest has one of the tiny recipes, with fields changed."""

    def write(name: str, **fields: object) -> Path:
        directory = tmp_path / "run" / "checkpoint"
        made = MAKE[name](directory)
        plain = {**tiny_recipes.RECIPES[name], "training": tiny_recipes.TRAINING, **fields}
        recipe = read_recipe(plain).model_dump()
        checkpoint.write_manifest(directory, dataclasses.replace(made.manifest, training={"recipe": recipe}))
        return directory

    return write


@pytest.fixture
def console() -> Console:
    """Keeps what is printed: see `shown`."""
    return Console(file=io.StringIO(), width=100)


def shown(console: Console) -> str:
    """All that was printed."""
    return console.file.getvalue()  # type: ignore[attr-defined]
