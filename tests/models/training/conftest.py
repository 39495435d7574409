from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from models.training import tracking
from tests import tiny_recipes as tiny


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small only lose by sharing the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_pictures(monkeypatch):
    """They take longer than the smallest runs."""
    monkeypatch.setattr(tracking, "draw_curves", lambda directory, name: None)


@pytest.fixture
def data(tmp_path) -> Path:
    return tiny.write_data(tmp_path / "data")


@pytest.fixture
def write_recipe(tmp_path):
    return partial(tiny.write_recipe, tmp_path)


@pytest.fixture
def recipes() -> dict[str, dict]:
    return tiny.RECIPES
