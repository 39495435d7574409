"""Greedy decoding through the three verbs, for answers in the middle of a training run.

It is no engine: a batch decodes until its last row has ended, and nothing joins it. Shapes: B rows, S prompt positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from models.interface import Prompts, StateSize

_ROWS = 64  # of a batch


@torch.no_grad()
def continuations(model: Any, prompts: Sequence[Sequence[int]], limits: Sequence[int]) -> list[list[int]]:
    """The best next ids after each prompt, up to the end token (which is left out) or its limit.

    `model` is one with an end token, in eval mode. A prompt and its limit have to fit into it.
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
