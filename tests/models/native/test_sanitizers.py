"""The kernels' tests once more, on a library that watches every access and every operation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.native import library
from tests.models.native.builds import ROOT, SOURCES, compile_, run_tests

COMPILER = shutil.which("g++")
FLAGS = ("-O1", "-g1", "-std=c++17", "-shared", "-fPIC", "-pthread", "-ffp-contract=off", "-Wno-psabi")
WATCHED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def runtime(name: str) -> str:
    assert COMPILER is not None
    found = subprocess.run([COMPILER, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def watching(tmp_path: Path) -> dict[str, str]:
    """The environment of a process whose kernels are watched."""
    assert COMPILER is not None
    built = tmp_path / "_kernels.so"
    compile_(COMPILER, *FLAGS, *WATCHED, *SOURCES, "-o", str(built))
    return {
        **os.environ,
        # The second for its exceptions, which the first wants to see: PyTorch throws some.
        "LD_PRELOAD": " ".join(map(runtime, ("libasan.so", "libstdc++.so.6"))),
        "ASAN_OPTIONS": "detect_leaks=0",
        library.BUILD: str(built),
    }


@pytest.mark.skipif(COMPILER is None, reason="there is no g++ on this machine")
@pytest.mark.skipif(library.instruction_set() is None, reason="there are no kernels for this CPU, or none were built")
def test_no_kernel_touches_what_is_not_its_own(tmp_path: Path) -> None:
    environment = watching(tmp_path)
    for name in library.instruction_sets():
        run_tests(environment, instruction_set=name)


@pytest.mark.skipif(COMPILER is None, reason="there is no g++ on this machine")
@pytest.mark.skipif(library.instruction_set() is None, reason="there are no kernels for this CPU, or none were built")
def test_what_is_not_its_own_would_be_seen(tmp_path: Path) -> None:
    script = """
import torch
from models.native import instructions as kernels
from models.native.programs import perform
with torch.inference_mode():
    few = torch.empty(3, dtype=torch.int64)
    perform(kernels.Instruction(kernels.Kernel.BEST, (torch.zeros(100, 64), few), (100, 64, 64)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=watching(tmp_path), capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
