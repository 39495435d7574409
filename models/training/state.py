"""A training run's state on disk: enough to go on as if nothing had happened. Safetensors and JSON, never pickle.

A state is a directory that appears under its name all at once, by rename, so that one that can be seen is whole, even
after a power cut. Beside it lie the weights of single validations that it refers to, a file for each.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.disk import move_into_place, sync
from models.training.optimizer import Optimizers


class ResumeError(Exception):
    """A saved state that belongs to another recipe or cannot be read."""


@dataclass(frozen=True)
class Measurement:
    """Over all scored positions of the validation examples, with the weights that would be published."""

    loss: float  # nats per scored position, without label smoothing
    accuracy: float  # share of positions where the best output is the right one
    scored: int
    score: float | None = None  # of what the model says: BLEU, bits per byte; see `evaluation.validation`


@dataclass
class Progress:
    """Where the loop is."""

    step: int = 0  # finished steps
    epoch: int = 0
    position: int = 0  # finished batches of the epoch
    seconds: float = 0.0  # of training so far, over all sittings
    tokens: int = 0  # scored so far
    training_loss: float = 0.0  # a running mean over about 50 steps
    validated: int = 0  # the step of the last validation; 0: there was none
    last: Measurement | None = None  # what it measured
    best_step: int = 0  # the best validation, by loss or score
    best: Measurement | None = None
    not_better: int = 0  # validations since then
    kept: list[int] = field(default_factory=list)  # validations whose weights are averaged


def latest_state(directory: Path) -> Path | None:
    return max(directory.glob("state-*"), default=None)


@dataclass(frozen=True)
class States:
    """Of one run: what is saved besides its progress, and filled in place."""

    directory: Path
    recipe_hash: str
    learned: Mapping[str, Tensor]  # the parameters that are trained, by name
    average: Mapping[str, Tensor] | None
    optimizers: Optimizers

    def save(self, progress: Progress) -> None:
        """Write `directory`/state-STEP, then drop older ones."""
        final = self.directory / f"state-{progress.step:09d}"
        scratch = self.directory / f".{final.name}.{os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        moments = {
            f"{name}|{key}": value
            for name, parameter in self.learned.items()
            for key, value in self.optimizers.state_of(parameter).items()
        }
        _save(self.learned, scratch / "model.safetensors")
        _save(moments, scratch / "optimizer.safetensors")
        if self.average is not None:
            _save(self.average, scratch / "average.safetensors")
        (scratch / "progress.json").write_text(json.dumps({"recipe": self.recipe_hash, **asdict(progress)}))
        move_into_place(scratch, final)
        for old in (*self.directory.glob("state-*"), *self.directory.glob(".state-*")):
            if old != final:
                shutil.rmtree(old, ignore_errors=True)

    def load(self, step: int) -> Progress:
        """Raises ResumeError when the state is not there, another recipe's, or cannot be read."""
        state = self.directory / f"state-{step:09d}"
        if not state.is_dir():
            raise ResumeError(f"{state} is missing here: the folder of the run must be one that all workers see")
        try:
            values = json.loads((state / "progress.json").read_text())
            if values.pop("recipe") != self.recipe_hash:
                raise ResumeError(
                    f"{state} was saved under another recipe; put it back, or start over without resuming"
                )
            fill(self.learned, load_file(state / "model.safetensors"))
            if self.average is not None:
                fill(self.average, load_file(state / "average.safetensors"))
            for key, tensor in load_file(state / "optimizer.safetensors").items():
                name, kept = key.split("|")
                # The step count stays in float32 on the parameter's device, as the fused optimizer keeps it.
                self.optimizers.state_of(self.learned[name])[kept] = tensor.to(self.learned[name].device)
            for name in ("last", "best"):
                values[name] = values[name] and Measurement(**values[name])
            return Progress(**values)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ResumeError(f"{state} cannot be read ({error}); start over without resuming") from error


def save_weights(directory: Path, kind: str, step: int, weights: Mapping[str, Tensor]) -> None:
    """`directory`/KIND-STEP.safetensors, there all at once."""
    final = directory / f"{kind}-{step:09d}.safetensors"
    scratch = directory / f".{final.name}.{os.getpid()}"
    _save(weights, scratch)
    sync(scratch)
    scratch.rename(final)


def load_weights(directory: Path, kind: str, step: int) -> dict[str, Tensor]:
    """Raises ResumeError where the file is missing: a state refers to it."""
    path = directory / f"{kind}-{step:09d}.safetensors"
    if not path.is_file():
        raise ResumeError(f"{path} is missing, and the run needs it; start over without resuming")
    return load_file(path)


def drop_weights(directory: Path, kind: str, but: list[int]) -> None:
    wanted = {f"{kind}-{step:09d}.safetensors" for step in but}
    for path in directory.glob(f"{kind}-*.safetensors"):
        if path.name not in wanted:
            path.unlink(missing_ok=True)


@torch.no_grad()
def fill(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy in place. Raises KeyError for a name that is missing."""
    for name, tensor in tensors.items():
        tensor.copy_(values[name])


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)
