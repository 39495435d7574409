"""The weights of a published model by their names there, read where they lie: mapped into memory, copied by nobody.

Knows nothing of architectures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.checkpoint import CheckpointError
from models.huggingface.directory import Directory

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
PICKLED = "pytorch_model.bin"
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64, "BOOL": torch.bool}
# What old files call the weight and the bias of a norm.
_OLD = {"gamma": "weight", "beta": "bias"}


class Tensors(Mapping[str, Tensor]):
    """By name; a tensor is a view of its file until somebody changes it."""

    def __init__(self, directory: Directory, name: str = WEIGHTS) -> None:
        """`name` is the file, which may be in pieces with an index. Raises CheckpointError."""
        self._directory = directory
        self._files: dict[str, Any] = {}
        self._places: dict[str, tuple[str, str]] = {}  # name -> (file, its name there)
        if directory.has(name):
            self._add(name, None)
        elif directory.has(f"{name}.index.json"):
            self._add_pieces(f"{name}.index.json")
        else:
            raise _without_weights(directory, name)

    def _add_pieces(self, index: str) -> None:
        places = self._directory.json(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
            raise CheckpointError(f"{self._directory.path / index}: has no weight_map of tensors and files")
        for file in dict.fromkeys(places.values()):
            if PurePosixPath(file).name != file:
                raise CheckpointError(f"{self._directory.path / index}: {file!r} is not the name of a file")
            self._add(file, {name for name, place in places.items() if place == file})

    def _add(self, file: str, expected: set[str] | None) -> None:
        """`expected`: the tensors that an index has the file for."""
        path = self._directory.path / file
        try:
            opened = safe_open(self._directory.file(file), framework="pt", device="cpu")
            names = set(opened.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: not a safetensors file, or half of one: {error}") from None
        if expected is not None and (missing := sorted(expected - names)):
            raise CheckpointError(f"{path}: has no {missing[0]}, which {INDEX} says")
        self._files[file] = opened
        for name in sorted(names if expected is None else expected):
            dtype = opened.get_slice(name).get_dtype()
            if dtype not in DTYPES:
                raise CheckpointError(
                    f"{path}: {name} is of {dtype}, this release reads {', '.join(DTYPES)}: no quantized weights"
                )
            stem, _, last = name.rpartition(".")
            self._places[f"{stem}.{_OLD.get(last, last)}".lstrip(".")] = file, name

    def __getitem__(self, name: str) -> Tensor:
        file, there = self._places[name]
        return self._files[file].get_tensor(there)

    def with_prefix(self, prefix: str) -> None:
        """From now on the names have the prefix, if none of them had it in the files."""
        if prefix and not any(name.startswith(prefix) for name in self):
            self._places = {f"{prefix}{name}": place for name, place in self._places.items()}

    @property
    def path(self) -> str:
        """As messages call the file, or the directory of its pieces."""
        files = list(self._files)
        return str(self._directory.path / files[0] if len(files) == 1 else self._directory.path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _without_weights(directory: Directory, name: str) -> CheckpointError:
    if directory.has(PICKLED) or directory.has(f"{PICKLED}.index.json"):
        return CheckpointError(
            f"{directory.path / PICKLED}: a pickle, which runs code when it is read: where you trust it, read it with "
            f"transformers, whose save_pretrained() writes {name}"
        )
    return CheckpointError(f"{directory.path / name}: missing, and so is {name}.index.json: there are no weights")
