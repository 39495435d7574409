"""The library that `kernels/` is compiled to: whether it is there, for which CPU, and calling it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

SWITCH = "TRIPTYCH_KERNELS"  # environment variable: 0 leaves everything to PyTorch
NAME = "_kernels"  # of the file beside this one, as pyproject.toml has it built


@cache
def _library() -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(NAME + suffix)
        if path.exists():
            try:
                found = ctypes.CDLL(str(path))
            except OSError:  # built for another machine
                return None
            found.triptych_instruction_set.restype = ctypes.c_char_p
            found.triptych_run.argtypes = (ctypes.c_char_p, ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64)
            found.triptych_run.restype = ctypes.c_int64
            return found
    return None


@cache
def instruction_set() -> str | None:
    """What the kernels use of this CPU; None where there are none for it, no library, or SWITCH is 0."""
    found = None if os.environ.get(SWITCH) == "0" else _library()
    name = None if found is None else found.triptych_instruction_set()
    return None if name is None else name.decode("ascii")


def told() -> str:
    """What there is, or why there is nothing and what that costs."""
    if (found := instruction_set()) is not None:
        return f"kernels for {found}"
    if os.environ.get(SWITCH) == "0":
        return f"no kernels, as {SWITCH} is 0"
    if _library() is None:
        return "no kernels: they were not built, for which the installation needs a C++ compiler; steps take longer"
    return "no kernels for this CPU"


@cache
def runner() -> Callable[[bytes, int, bytes, int], int]:
    """Runs so many instructions, packed one behind another, for extents packed likewise, with so many threads; returns
    how many it knew."""
    found = _library()
    assert found is not None, "asked only where `instruction_set` names one"
    run: Callable[[bytes, int, bytes, int], int] = found.triptych_run
    return run
