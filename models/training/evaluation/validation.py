"""What a model says at a validation: answers to a few held-out examples, to be shown, and a score.

The examples are the same at every validation, so that their answers can be compared, and few. Each task has a judge of
its own. Knows nothing of the loop, of files or of what is done with the answers. Shapes: B rows, S prompt positions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

import torch
from torch.nn.utils.rnn import pad_sequence

from models.interface import Prompts, StateSize
from models.training.data.rows import TextRow
from models.training.recipe import Recipe

MOST_SHOWN = 300  # characters of a text
_ROWS = 64  # that are decoded at once


@dataclass(frozen=True)
class Shown:
    """A sample as it is shown: in one line each, cut where it is long, without what a terminal would obey."""

    source: str
    expected: str
    answer: str

    def __post_init__(self) -> None:
        for name, text in vars(self).items():
            line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
            object.__setattr__(self, name, line if len(line) <= MOST_SHOWN else line[:MOST_SHOWN] + "…")


@dataclass(frozen=True)
class Answers:
    score: float | None
    samples: tuple[Shown, ...]


class Judge(Protocol):
    measure: str  # of the score, as manifests call it
    higher_is_better: bool

    def __call__(self, model: Any, loss: float, accuracy: float) -> Answers:
        """`model` is in eval mode; loss and accuracy are those of all validation examples."""
        ...


def mixed(recipe: Recipe, rows: Sequence[TextRow]) -> list[TextRow]:
    """In an order whose head has something of each language, label or control token, and is drawn by the seed."""
    groups: dict[tuple[str | None, ...], list[TextRow]] = {}
    for row in random.Random(recipe.seed).sample(rows, len(rows)):
        kind = (row.source_language, row.language, row.control, row.target if recipe.labels else "")
        groups.setdefault(kind, []).append(row)
    return [row for tier in zip_longest(*groups.values()) for row in tier if row is not None]


@torch.no_grad()
def continuations(model: Any, prompts: Sequence[Sequence[int]], limits: Sequence[int]) -> list[list[int]]:
    """The best next ids after each prompt, up to the end token (which is left out) or its limit.

    Through the three verbs, but no engine: a batch decodes until its last row has ended, and nothing joins it. `model`
    is one with an end token, in eval mode. A prompt and its limit have to fit into it.
    """
    found: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda row: (len(prompts[row]), limits[row]))
    for start in range(0, len(order), _ROWS):
        rows = order[start : start + _ROWS]
        answers = _batch(model, [prompts[row] for row in rows], [limits[row] for row in rows])
        for row, answer in zip(rows, answers, strict=True):
            found[row] = answer
    return found


def _batch(model: Any, prompts: Sequence[Sequence[int]], limits: Sequence[int]) -> list[list[int]]:
    config, device = model.config, next(model.parameters()).device
    lengths = [len(prompt) for prompt in prompts]
    tokens_BS = pad_sequence([torch.tensor(each) for each in prompts], batch_first=True, padding_value=config.pad_id)
    positions = [config.capabilities.prefilled(length) for length in lengths]
    longest = max(position + limit for position, limit in zip(positions, limits, strict=True))
    state = model.new_state(StateSize(slots=len(prompts), length=longest, source_length=max(lengths), device=device))
    read = Prompts(tokens_BS=tokens_BS.to(device), lengths_B=torch.tensor(lengths, device=device))
    best_B = model.prefill(read, torch.arange(len(prompts), device=device), state).argmax(dim=1)
    answers: list[list[int]] = [[] for _ in prompts]
    running = [limit > 0 for limit in limits]
    while True:
        for row, id in enumerate(best_B.tolist()):
            if running[row]:
                answers[row] += [id] if id != config.end_id else []
                running[row] = id != config.end_id and len(answers[row]) < limits[row]
        if not any(running):
            return answers
        # Rows that have ended are padding, at position -1.
        places = [position if alive else -1 for position, alive in zip(positions, running, strict=True)]
        best_B = model.decode(best_B, torch.tensor(places, device=device), state).argmax(dim=1)
        positions = [position + 1 for position in positions]
