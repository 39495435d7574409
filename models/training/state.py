"""A training run's state on disk: enough to go on as if nothing had happened. Safetensors and JSON, never pickle.

A state is a directory that appears under its name all at once, by rename, so that one that can be seen is whole, even
after a power cut.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class ResumeError(Exception):
    """A saved state that belongs to another recipe or cannot be read."""


@dataclass
class Progress:
    """Where the loop is."""

    step: int = 0  # finished steps
    epoch: int = 0
    position: int = 0  # finished batches of the epoch
    seconds: float = 0.0  # of training so far, over all sittings
    tokens: int = 0  # scored so far


def save_state(
    directory: Path,
    progress: Progress,
    recipe_hash: str,
    model: nn.Module,
    average: dict[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write `directory`/state-STEP, then drop older ones."""
    final = directory / f"state-{progress.step:09d}"
    scratch = directory / f".{final.name}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    moments = {
        f"{names[parameter]}|{key}": value.contiguous()
        for parameter, values in optimizer.state.items()
        for key, value in values.items()
    }
    save_file({name: p.detach().contiguous() for name, p in model.named_parameters()}, scratch / "model.safetensors")
    save_file(moments, scratch / "optimizer.safetensors")
    if average is not None:
        save_file(average, scratch / "average.safetensors")
    (scratch / "progress.json").write_text(json.dumps({"recipe": recipe_hash, **asdict(progress)}))
    for path in scratch.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    shutil.rmtree(final, ignore_errors=True)
    scratch.rename(final)
    for old in directory.glob("state-*"):
        if old != final:
            shutil.rmtree(old, ignore_errors=True)


def latest_state(directory: Path) -> Path | None:
    return max(directory.glob("state-*"), default=None)


def load_state(
    state: Path,
    recipe_hash: str,
    model: nn.Module,
    average: dict[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Fill model, average and optimizer in place. Raises ResumeError when the state is another recipe's."""
    values = json.loads((state / "progress.json").read_text())
    found = values.pop("recipe")
    if found != recipe_hash:
        raise ResumeError(f"{state} was saved under another recipe; put it back, or start over without resuming")
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in load_file(state / "model.safetensors").items():
            parameters[name].copy_(tensor)
        if average is not None:
            for name, tensor in load_file(state / "average.safetensors").items():
                average[name].copy_(tensor)
    for key, tensor in load_file(state / "optimizer.safetensors").items():
        name, field = key.split("|")
        # The step count stays in float32 on the parameter's device, as the fused optimizer keeps it.
        optimizer.state[parameters[name]][field] = tensor.to(parameters[name].device)
    return Progress(**values)
