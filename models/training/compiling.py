"""torch.compile for the layers of a model, in training alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from models.layers import Stack
from models.training.recipe import RecipeError


@contextmanager
def compiled(model: nn.Module) -> Iterator[None]:
    """Layer by layer: they share their code, so that one is compiled and all are quicker; names of weights stay.

    Raises RecipeError where there is no C++ compiler.
    """
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        raise RecipeError(
            "compile needs a C++ compiler (g++ or clang++), and there is none: install one, or set it false"
        )
    layers = [layer for stack in model.modules() if isinstance(stack, Stack) for layer in stack]
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
