"""The library that `kernels/` is compiled to: whether it is there, for which CPU, and calling it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache, partial
from itertools import count
from pathlib import Path

SWITCH = "TRIPTYCH_KERNELS"  # environment variable: 0 leaves everything to PyTorch; or an instruction set's name
BUILD = "TRIPTYCH_KERNELS_LIBRARY"  # environment variable: the path of another build, such as one with sanitizers
NAME = "_kernels.abi3.so"  # of the file beside this one, as pyproject.toml has it built: for every version of Python


@cache
def _library() -> ctypes.CDLL | None:
    own = os.environ.get(BUILD)
    path = Path(own) if own else Path(__file__).with_name(NAME)
    if not path.exists():
        return None
    try:
        found = ctypes.CDLL(str(path))
    except OSError:  # built for another machine
        return None
    found.triptych_instruction_set.argtypes = (ctypes.c_int64,)
    found.triptych_instruction_set.restype = ctypes.c_char_p
    found.triptych_run.argtypes = (ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64)
    found.triptych_run.restype = ctypes.c_int64
    return found


@cache
def instruction_sets() -> tuple[str, ...]:
    """Those of this CPU that there are kernels for, the best first."""
    found = _library()
    if found is None:
        return ()
    names = iter(map(found.triptych_instruction_set, count()).__next__, None)
    return tuple(name.decode("ascii") for name in names)


@cache
def instruction_set() -> str | None:
    """The one that is used: the best, or what SWITCH names. None without kernels."""
    wanted = os.environ.get(SWITCH)
    there = instruction_sets()
    return next((name for name in there if wanted in (None, "", name)), None)


def told() -> str:
    """What there is, or why there is nothing and what that costs."""
    if (found := instruction_set()) is not None:
        return f"kernels for {found}"
    if _library() is None:
        return "no kernels: they were not built, for which the installation needs a C++ compiler; steps take longer"
    if instruction_sets():
        return f"no kernels, as {SWITCH} is {os.environ[SWITCH]!r}; there are some for {', '.join(instruction_sets())}"
    return "no kernels for this CPU; steps take longer"


@cache
def runner() -> Callable[[bytes, int, bytes, int], int]:
    """Runs so many instructions, packed one behind another, for extents packed likewise, with so many threads; returns
    how many it knew."""
    found, used = _library(), instruction_set()
    assert found is not None and used is not None, "asked only where there are kernels"  # noqa: PT018
    return partial(found.triptych_run, instruction_sets().index(used))
