"""torch.compile for the layers of a model, in training alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from models.layers import Stack
from models.training.sections import RecipeError


@contextmanager
def compiled(model: nn.Module) -> Iterator[None]:
    """Layer by layer: they share their code, so that one is compiled and all are quicker; names of weights stay.

    Raises RecipeError where there is no C++ compiler.
    """
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        raise RecipeError(
            "compile needs a C++ compiler (g++ or clang++), and there is none: install one, or set it false"
        )
    with uncompiled(model):  # which in the end makes the layers what they were
        for layer in _layers(model):
            layer.compile(dynamic=True)
        yield


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """As if nothing were compiled: what runs seldom, such as a validation, would first be compiled for minutes."""
    kept = [(layer, layer._compiled_call_impl) for layer in _layers(model)]
    for layer, _ in kept:
        layer._compiled_call_impl = None
    try:
        yield
    finally:
        for layer, quick in kept:
            layer._compiled_call_impl = quick


def _layers(model: nn.Module) -> list[nn.Module]:
    return [layer for stack in model.modules() if isinstance(stack, Stack) for layer in stack]
