"""A cell step by step and over a sequence at once, and how its weights begin. That it computes what torch's own does,
`test_recurrent` shows."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch

from models.cells import GATES, Cell, CellKind


@pytest.mark.parametrize("kind", get_args(CellKind))
def test_a_sequence_at_once_is_its_steps_one_after_the_other_and_so_are_their_gradients(kind: CellKind) -> None:
    torch.manual_seed(0)
    cell = Cell(kind, 6, 8, context=4)
    x, context = torch.randn(3, 5, 6), torch.randn(3, 5, 4)
    state = torch.randn(2 if kind == "lstm" else 1, 3, 8)
    found = []
    for at_once in (True, False):
        one = copy.deepcopy(cell)
        if at_once:
            hidden = one.sequence(x, state, context)
        else:
            steps, now = [], state
            for entering in one.enter(x, context).unbind(1):
                now = one.step(entering, now)
                steps.append(now[0])
            hidden = torch.stack(steps, dim=1)
        hidden.square().sum().backward()
        found.append([hidden, *(parameter.grad for parameter in one.parameters())])
    for mine, expected in zip(*found, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", get_args(CellKind))
def test_each_gate_begins_by_itself_and_an_lstm_forgets_nothing_at_first(kind: CellKind) -> None:
    torch.manual_seed(0)
    cell, gates = Cell(kind, 60, 80, context=40), GATES[kind]
    cell.reset_parameters()
    for back in cell.hidden.weight.chunk(gates):
        torch.testing.assert_close(back @ back.T, torch.eye(80), atol=1e-5, rtol=0)
    for entering, inputs in ((cell.input, 60), (cell.context, 40)):
        for block in entering.weight.chunk(gates):
            assert float(block.detach().abs().max()) == pytest.approx((6 / (inputs + 80)) ** 0.5, rel=0.01)
    assert [bias.unique().tolist() for bias in cell.input.bias.detach().chunk(gates)] == {
        "rnn": [[0.0]],
        "gru": [[0.0], [0.0], [0.0]],
        "lstm": [[0.0], [1.0], [0.0], [0.0]],
    }[kind]
    assert not cell.hidden.bias.any()
