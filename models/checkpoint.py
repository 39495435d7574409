"""A checkpoint is one directory: config.json, model.safetensors, tokenizer.json and manifest.json.

One that was fine-tuned with adapters and is kept beside its base has adapter.safetensors instead of model.safetensors:
what was learned, and nothing of the base, which the manifest names (`Adapter`) and whoever loads it finds.

It may hold a model card for people, too: README.md and curves.png. The manifest says what the model is, what it was
trained on, how well it does, and the SHA-256 of every other file, so that a damaged or half-written directory is
refused instead of served. Nothing is pickled: reading a checkpoint cannot run code.

Knows nothing of names and versions on disk; that is `models.registry`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.architectures import build, config_from_dict
from models.config import Config, ConfigError
from models.lora import attach, merge
from models.manifest import (
    ADAPTER,
    CARD,
    CONFIG,
    CURVES,
    EXTRAS,
    FILES,
    FORMAT_VERSION,
    MANIFEST,
    PRETRAINED,
    SHORTLIST,
    TARGET_TOKENIZER,
    TASKS,
    TOKENIZER,
    WEIGHTS,
    Adapter,
    CheckpointError,
    Manifest,
    parse_json,
    parse_manifest,
)
from models.shortlist import Shortlist, ShortlistError
from models.threads import serial
from models.tokenizer import Tokenizer, TokenizerError

__all__ = [
    "ADAPTER", "CARD", "CONFIG", "CURVES", "FILES", "FORMAT_VERSION", "MANIFEST", "PRETRAINED", "SHORTLIST", "TASKS",
    "TOKENIZER", "WEIGHTS", "Adapter", "Checkpoint", "CheckpointError", "FindBase", "Manifest", "facts_of", "load",
    "parse_json", "parse_manifest", "read_config", "read_manifest", "save", "sha256_of", "verify", "write_manifest",
]  # fmt: skip

# Given NAME@VERSION, the directory of that checkpoint. Raises CheckpointError.
FindBase = Callable[[str], Path]


@dataclass(frozen=True)
class Checkpoint:
    config: Config
    model: Any  # a torch module that speaks the three verbs of `models.interface.Servable`, in eval mode
    tokenizer: Tokenizer
    manifest: Manifest
    shortlist: Shortlist | None = None  # where it has a table


def save(
    directory: Path,
    *,
    model: nn.Module,
    tokenizer: Tokenizer,
    manifest: Manifest,
    dtype: torch.dtype | None = torch.bfloat16,
    learned: Mapping[str, Tensor] | None = None,
) -> Manifest:
    """Write all four files; the manifest, with its hashes filled in, comes last and is returned.

    `directory` is created. Weights are stored as `dtype` whatever the model computes in; None: as they are. Of one that
    is kept beside its base (`manifest.adapter`), `learned` is all that is stored: its adapters and what else the base
    does not have.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config: Config = model.config  # type: ignore[assignment]
    stored = model.state_dict() if learned is None else learned
    assert (learned is None) == (manifest.adapter is None), "adapters, and only these, are stored without their base"
    weights = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in stored.items()
    }
    (directory / CONFIG).write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
    save_file(weights, directory / manifest.weights, metadata={"format": "pt"})
    (directory / manifest.weights).chmod(0o644)  # the library leaves it to its owner alone
    tokenizer.save(directory / TOKENIZER)
    if tokenizer.target is not tokenizer:
        tokenizer.target.save(directory / TARGET_TOKENIZER)
    return write_manifest(directory, manifest)


def write_manifest(directory: Path, manifest: Manifest) -> Manifest:
    """Write manifest.json with the hashes of the other files as they are now."""
    present = (*_needed(manifest), *(name for name in EXTRAS if (directory / name).is_file()))
    manifest = dataclasses.replace(manifest, files={name: facts_of(directory / name) for name in present})
    (directory / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """Without looking at the other files."""
    return Manifest.from_dict(_read_json(directory / MANIFEST), directory / MANIFEST)


def read_config(directory: Path) -> Config:
    """What config.json says. Raises CheckpointError."""
    try:
        return config_from_dict(_read_json(directory / CONFIG))
    except ConfigError as error:
        raise CheckpointError(f"{directory / CONFIG}: {error}") from error


def verify(directory: Path) -> Manifest:
    """Raises CheckpointError when a file is missing or is not the one the manifest describes."""
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: no such checkpoint directory")
    manifest = read_manifest(directory)
    for name in dict.fromkeys((*_needed(manifest), *manifest.files)):
        path, expected = directory / name, manifest.files.get(name, {}).get("sha256")
        if not path.is_file():
            raise CheckpointError(f"{path}: missing")
        found = sha256_of(path)
        if found != expected:
            raise CheckpointError(f"{path}: SHA-256 is {found}, the manifest says {expected}: the file was changed")
    return manifest


@serial()
def load(
    directory: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    *,
    base: FindBase | None = None,
) -> Checkpoint:
    """Verify, then build. Raises CheckpointError for anything that is wrong with the directory.

    Weights are of `dtype`; None: as the file has them, and then they lie there until somebody changes them. Adapters
    that are kept beside a base are merged into it, which `base` finds: see `Registry.load`.
    """
    checkpoint = _built(Path(directory), base, stored=dtype is None)
    model = checkpoint.model.to(device) if dtype is None else checkpoint.model.to(device, dtype)
    return dataclasses.replace(checkpoint, model=model.eval())


def _built(directory: Path, find: FindBase | None, *, stored: bool = False) -> Checkpoint:
    manifest = verify(directory)
    config = read_config(directory)
    if config.architecture != manifest.architecture:
        raise CheckpointError(
            f"{directory}: {CONFIG} is of a {config.architecture}, {MANIFEST} of a {manifest.architecture}"
        )
    tokenizer = _read_tokenizer(directory, manifest, config.vocab_size)
    weights = _read_weights(directory / manifest.weights)
    model = build(config, empty=stored and manifest.adapter is None)
    if manifest.adapter is None:
        _load_weights(model, weights, directory / WEIGHTS, assign=stored)
    else:
        attach(model, manifest.adapter.lora)
        begun = _base_weights(directory, manifest.adapter, find)
        _load_weights(model, {**begun, **weights}, directory / ADAPTER)
        merge(model)
    return Checkpoint(config, model, tokenizer, manifest, _read_shortlist(directory, manifest, config.vocab_size))


def _read_tokenizer(directory: Path, manifest: Manifest, size: int) -> Tokenizer:
    """`size`: tokens that the model knows."""
    known: dict[str, Any] = {"foreign": True, "size": size} if manifest.format is not None else {}
    try:
        if TARGET_TOKENIZER in manifest.files:
            known["target"] = Tokenizer.load(directory / TARGET_TOKENIZER, **known)
        return Tokenizer.load(directory / TOKENIZER, **known)
    except TokenizerError as error:
        raise CheckpointError(str(error)) from error


def _read_shortlist(directory: Path, manifest: Manifest, size: int) -> Shortlist | None:
    if SHORTLIST not in manifest.files:
        return None
    try:
        return Shortlist.load(directory / SHORTLIST, size)
    except ShortlistError as error:
        raise CheckpointError(str(error)) from error


def _base_weights(directory: Path, adapter: Adapter, find: FindBase | None) -> dict[str, Tensor]:
    if find is None:
        raise CheckpointError(
            f"{directory}: it is kept beside {adapter.base}: load it through a registry that has that"
        )
    try:
        where = find(adapter.base)
    except CheckpointError as error:
        raise CheckpointError(f"{directory}: its base {adapter.base} is missing: {error}") from error
    found = read_manifest(where).weights_sha256
    if found != adapter.base_sha256:
        raise CheckpointError(
            f"{directory}: made for the weights {adapter.base_sha256} of {adapter.base}, {where} has {found}"
        )
    return _built(where, find).model.state_dict()


def _needed(manifest: Manifest) -> tuple[str, ...]:
    return (CONFIG, manifest.weights, TOKENIZER)


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error


def _load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path, *, assign: bool = False) -> None:
    """`path` is what messages call them; `assign`: the model has them as they are."""
    expected = model.state_dict()
    missing, unexpected = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"{path}: not the weights {CONFIG} describes: missing {_some(missing)}, unexpected {_some(unexpected)}"
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{path}: {name} has shape {list(tensor.shape)}, {CONFIG} asks for {list(expected[name].shape)}"
            )
    model.load_state_dict(weights, assign=assign)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"


def facts_of(path: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"sha256": sha256_of(path), "bytes": path.stat().st_size}


def sha256_of(path: Path) -> str:
    """Of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: missing")
    return parse_json(path.read_bytes(), path)
