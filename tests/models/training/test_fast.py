import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.training.fast import ByteDropout, smoothed_cross_entropy, use_byte_dropout


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 255, 600])
def test_the_loss_and_its_gradient_are_torchs_own(smoothing, rows):
    torch.manual_seed(1)
    logits = torch.randn(rows, 50, requires_grad=True)
    targets = torch.randint(0, 50, (rows,))
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing)
    (expected_gradient,) = torch.autograd.grad(3 * expected, logits)
    found = smoothed_cross_entropy(logits, targets, smoothing)
    (found_gradient,) = torch.autograd.grad(3 * found, logits)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_gradient, expected_gradient)


def test_the_loss_of_bfloat16_logits_is_summed_in_float32():
    logits = torch.randn(2000, 50, dtype=torch.bfloat16)
    targets = torch.randint(0, 50, (2000,))
    torch.testing.assert_close(smoothed_cross_entropy(logits, targets, 0.1),
                               F.cross_entropy(logits.float(), targets, label_smoothing=0.1))  # fmt: skip


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(1)
    x = torch.ones(401, 499)
    out = ByteDropout(0.1)(x)
    assert float((out == 0).float().mean()) == pytest.approx(0.1, abs=0.005)
    assert float(out.mean()) == pytest.approx(1, abs=0.005)


def test_dropout_passes_the_gradient_where_it_kept_the_value():
    x = torch.ones(100, requires_grad=True)
    out = ByteDropout(0.5)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_dropout_does_nothing_in_eval_mode_and_depends_on_the_seed():
    dropout, x = ByteDropout(0.3), torch.ones(1000)
    torch.manual_seed(7)
    first = dropout(x)
    torch.manual_seed(7)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(dropout(x), first)
    assert dropout.eval()(x) is x


def test_every_dropout_module_of_a_model_is_replaced():
    model = nn.Sequential(nn.Dropout(0.2), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3)))
    before = model.state_dict().keys()
    use_byte_dropout(model)
    assert [m.p for m in model.modules() if isinstance(m, ByteDropout)] == [0.2, 0.3]
    assert model.state_dict().keys() == before
