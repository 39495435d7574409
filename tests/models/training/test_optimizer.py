import pytest
import torch
from torch import nn

from models.training.optimizer import build_optimizer, learning_rate
from models.training.recipe import Training


def training(**changes: object) -> Training:
    return Training(**{"steps": 100, "batch_tokens": 10, "learning_rate": 1.0, "warmup_steps": 10, **changes})


def test_norms_and_biases_do_not_decay():
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    decaying, free = build_optimizer(model, training(weight_decay=0.1)).param_groups
    assert decaying["weight_decay"] == 0.1
    assert [p.shape for p in decaying["params"]] == [torch.Size([3, 3])]
    assert free["weight_decay"] == 0
    assert len(free["params"]) == 3


def test_the_rate_warms_up_linearly_to_the_peak():
    assert [learning_rate(training(), step, 0) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])


def test_the_cosine_ends_at_zero():
    rates = [learning_rate(training(), step, 0) for step in range(10, 101)]
    assert rates == sorted(rates, reverse=True)
    assert rates[45] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0)


def test_the_cosine_ends_with_the_minutes_where_these_run_out_first():
    assert learning_rate(training(max_minutes=10), 20, 5) == pytest.approx(0.5)
    assert learning_rate(training(max_minutes=10), 20, 10) == pytest.approx(0)


def test_the_inverse_square_root_halves_when_the_steps_quadruple():
    recipe = training(schedule="inverse_sqrt", steps=1000)
    assert learning_rate(recipe, 399, 0) == pytest.approx(learning_rate(recipe, 99, 0) / 2)
