import pytest
import torch
from torch import nn

from models.training.muon import Muon, orthogonal


def parameter(rows: int, columns: int) -> nn.Parameter:
    weight = nn.Parameter(torch.randn(rows, columns))
    weight.grad = torch.randn(rows, columns)
    return weight


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def test_singular_values_of_all_sizes_come_near_1():
    left, _ = torch.linalg.qr(torch.randn(3, 16, 16))
    right, _ = torch.linalg.qr(torch.randn(3, 40, 16))
    values = torch.logspace(0, -1.5, 16).diag()
    found = torch.linalg.svdvals(orthogonal(left @ values @ right.mT))
    assert found.min() > 0.6
    assert found.max() < 1.25


@pytest.mark.parametrize("shape", [(16, 16), (16, 40), (40, 16)])
def test_a_step_is_that_of_torchs_own_muon(shape):
    ours = parameter(*shape)
    theirs = nn.Parameter(ours.detach().clone())
    mine = Muon({ours: (shape[0],)}, lr=0.1, weight_decay=0.01, dtype=torch.bfloat16)
    reference = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.01)
    for _ in range(3):
        ours.grad = torch.randn(*shape)
        theirs.grad = ours.grad.clone()
        mine.step()
        reference.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.01)  # bfloat16 products of another order


def test_fused_projections_move_as_if_each_had_a_weight_of_its_own():
    fused = parameter(32, 8)
    parts = [nn.Parameter(part.clone()) for part in fused.detach().split((16, 8, 8))]
    for part, gradient in zip(parts, fused.grad.split((16, 8, 8)), strict=True):
        part.grad = gradient.clone()
    Muon({fused: (16, 8, 8)}, lr=0.1, weight_decay=0.0, dtype=torch.float32).step()
    Muon({part: (len(part),) for part in parts}, lr=0.1, weight_decay=0.0, dtype=torch.float32).step()
    torch.testing.assert_close(fused, torch.cat(parts))


def test_a_weight_without_a_gradient_stays():
    weight = nn.Parameter(torch.ones(4, 4))
    Muon({weight: (4,)}, lr=0.1, weight_decay=0.5, dtype=torch.float32).step()
    assert torch.equal(weight, torch.ones(4, 4))
