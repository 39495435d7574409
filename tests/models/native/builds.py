"""Other builds of the kernels, and their tests once more in a process that uses one."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from models.native import library

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KERNELS = ROOT / "kernels"
SOURCES = [str(path) for path in sorted(KERNELS.glob("*.cpp"))]
OF_BUILDS = ("test_sanitizers.py", "test_other_processors.py")  # which need no second run

_extension = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["ext-modules"][0]
FLAGS: list[str] = [*_extension["extra-compile-args"], f"-I{KERNELS}"]  # of an installation


def compile_(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


def run_tests(environment: Mapping[str, str], *, instruction_set: str) -> None:
    """All tests of kernels, none of which may be skipped, by the named set of what the environment says."""
    tests = [str(path) for path in sorted(HERE.glob("test_*.py")) if path.name not in OF_BUILDS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env={**os.environ, **environment, library.SWITCH: instruction_set},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "skipped" not in done.stdout
