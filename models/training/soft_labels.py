"""A classifier that learns from what larger ones say of its texts: knowledge distillation (Hinton et al. 2015).

Teachers read every training text once, as it is; what they say, the mean of their probabilities, is kept on disk as it
comes, so that an interrupted preparation goes on. Texts without a label teach, too: their corpus has no label column.
Shapes: N examples, M <= N that are stored, B of a batch, L labels.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoint
from models.checkpoint import TOKENIZER, Checkpoint, CheckpointError, FindBase, Manifest
from models.training.data.batches import plan_batches
from models.training.data.examples import EncodeRow, Example, Examples, encode
from models.training.data.rows import TextRow
from models.training.data.spool import Spool, key_of
from models.training.fast import number_format
from models.training.objectives import Batch, Classification, prompts
from models.training.recipe import Recipe
from models.training.sections import Distillation, RecipeError

_AT_A_TIME = 16_384  # texts; what an interruption loses
_BATCH_TOKENS = 16_000
_SECONDS = 30  # between lines that say how far the teachers are


@dataclass(frozen=True, slots=True)
class TaughtExample(Example):
    """`target` is a label's index, or empty where nobody gave the text one."""

    soft_L: np.ndarray  # float32: the teachers' probabilities of the labels, at the recipe's temperature


@dataclass(eq=False, kw_only=True)
class TaughtExamples(Examples):
    """Examples with what teachers say of each."""

    soft_ML: np.ndarray
    key: str  # equal for what equal teachers say

    def __getitem__(self, index: int) -> TaughtExample:
        example = super().__getitem__(index)
        return TaughtExample(example.source, example.target, self.soft_ML[self.stored_N[index]])


class DistilledClassification(Classification):
    """Two terms: the labels of the texts that have one, and the teachers' probabilities of all.

    With weight w and temperature T the loss is (1 - w) CE(label, p) + w T² CE(teachers at T, p at T), each the mean
    over its texts; T² keeps the size of the second term's gradients whatever T is.
    """

    def __init__(
        self, pad_id: int, separator_id: int, mask_id: int, recipe: Distillation, *, word_dropout: float = 0.0
    ) -> None:
        super().__init__(pad_id, separator_id, mask_id, word_dropout=word_dropout)
        self._temperature = recipe.temperature
        self._weights = 1 - recipe.weight, recipe.weight * recipe.temperature**2

    def batch(self, examples: Sequence[Example], random: np.random.Generator) -> Batch:
        """Of validation examples, which nobody teaches, the labels alone."""
        taught = [example for example in examples if isinstance(example, TaughtExample)]
        if not taught:
            return super().batch(examples, random)
        labels = torch.tensor([int(label) for example in taught for label in example.target], dtype=torch.int64)
        return Batch(
            prompts([example.source for example in taught], self._pad, self._separator),
            (torch.tensor([len(example.target) > 0 for example in taught]),),
            (labels, torch.from_numpy(np.stack([example.soft_L for example in taught]))),
            self._weights,
        )

    def logits(self, model: Any, batch: Batch) -> tuple[Tensor, ...]:
        (logits_BL,) = super().logits(model, batch)
        if not batch.scored:
            return (logits_BL,)
        return logits_BL[batch.scored[0]], logits_BL / self._temperature


class Teacher:
    """A classifier's checkpoint that says how likely each of a recipe's labels is."""

    def __init__(
        self, directory: Path, labels: Sequence[str], device: torch.device, base: FindBase | None = None
    ) -> None:
        """`base` finds what it is kept beside.

        Raises RecipeError for what is no classifier of these labels, or is damaged.
        """
        try:
            found: Checkpoint = checkpoint.load(directory, device, base=base)
        except CheckpointError as error:
            raise RecipeError(f"distillation.teachers: {error}") from error
        theirs, config = found.manifest.labels, found.config
        if config.kind != "encoder" or sorted(theirs) != sorted(labels):
            raise RecipeError(
                f"distillation.teachers: {directory} is made to {found.manifest.task} with the labels {list(theirs)}, "
                f"expected a classifier with {list(labels)}"
            )
        self._model, self._tokenizer, self._config, self._device = found.model, found.tokenizer, config, device
        self._order = [theirs.index(label) for label in labels]
        self._separator = found.tokenizer.id("[SEP]")

    @torch.inference_mode()
    def probabilities(
        self, encode_row: EncodeRow, recipe: Recipe, rows: Sequence[TextRow], temperature: float
    ) -> np.ndarray:
        """[N, L] of N rows, no two of which that follow each other are equal."""
        longest = self._config.max_prompt
        examples = encode(encode_row, recipe, self._tokenizer, rows, (longest, longest), None)
        found_NL = np.empty((len(rows), len(self._order)), np.float32)
        narrow = number_format("auto", self._device) is torch.bfloat16
        for chosen in plan_batches(examples.source_lengths_N.astype(float), _BATCH_TOKENS, 0, 0):
            read = prompts([examples[row].source for row in chosen], self._config.pad_id, self._separator)
            batch = Batch(read, (), ()).to(self._device)
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=narrow):
                logits_BL = self._model(batch.inputs)
            found_NL[chosen] = (logits_BL.float() / temperature).softmax(dim=1)[:, self._order].cpu().numpy()
        return found_NL


def taught(
    encode_row: EncodeRow,
    recipe: Recipe,
    teachers: Sequence[tuple[Path, Manifest]],
    rows: Spool,
    examples: Examples,
    folder: Path,
    device: torch.device,
    say: Callable[[str], None] = print,
    base: FindBase | None = None,
) -> TaughtExamples:
    """`examples`, which are those of `rows`, with what the teachers say of them.

    That is kept below `folder`; of other rows, teachers or temperatures it is removed. Raises RecipeError.
    """
    wanted = recipe.distillation
    assert wanted is not None, "a recipe with teachers"
    # Of all that the answers depend on.
    files = [manifest.files[name]["sha256"] for _, manifest in teachers for name in (manifest.weights, TOKENIZER)]
    key = key_of([files, wanted.temperature, recipe.labels, rows.key])
    directory = folder / key
    for stale in folder.glob("*"):
        if stale != directory:
            shutil.rmtree(stale)
    directory.mkdir(parents=True, exist_ok=True)
    hired: list[Teacher] = []
    stored = (row for row, _ in groupby(rows))  # a row that is repeated follows itself
    began = said = time.monotonic()
    answered = 0
    parts: list[np.ndarray] = []  # [at most _AT_A_TIME, L] each, of the rows that are stored
    while some := list(islice(stored, _AT_A_TIME)):
        path = directory / f"{len(parts):05d}.npy"
        if not path.is_file():
            hired = hired or [Teacher(where, recipe.labels, device, base) for where, _ in teachers]
            found = [teacher.probabilities(encode_row, recipe, some, wanted.temperature) for teacher in hired]
            scratch = path.with_name(f".{path.stem}.{os.getpid()}.npy")
            np.save(scratch, np.mean(found, axis=0, dtype=np.float32))
            scratch.replace(path)
            answered += len(some)
            if time.monotonic() - said > _SECONDS:
                said = time.monotonic()
                say(f"{recipe.name}: teachers have read {answered:,} texts, {answered / (said - began):.0f} a second")
        parts.append(np.load(path))
    return TaughtExamples(**vars(examples), soft_ML=np.concatenate(parts), key=key)
