"""Loading must leave no helper threads behind: see `models.threads`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.registry import Registry
from models.threads import serial
from service.config import SHIPPED_REGISTRY

ROOT = Path(__file__).resolve().parents[2]

LOAD = """
import os, sys, torch
torch.set_num_threads(4)
from models.checkpoint import load
from service.options import EngineOptions
from service.worker.loading import Loaded
before = len(os.listdir("/proc/self/task"))
core = Loaded.of("m", load(sys.argv[1]), EngineOptions(precision=sys.argv[2])).start(None)
print(len(os.listdir("/proc/self/task")) - before, torch.get_num_threads())
core.engine.close()
"""


def test_inside_torch_uses_one_thread_and_outside_as_many_as_before() -> None:
    @serial()
    def inside() -> int:
        return torch.get_num_threads()

    @serial()
    def failing() -> None:
        raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert (inside(), torch.get_num_threads()) == (1, 3)
        with pytest.raises(ZeroDivisionError):
            failing()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_model_that_was_loaded_and_started_has_the_engines_thread_and_no_others() -> None:
    directory = Registry(SHIPPED_REGISTRY).resolve("translator")  # large enough to be worth several threads
    for precision in ("float32", "auto"):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(directory), precision],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == ["1", "4"], "new threads, and what the engine may use"
