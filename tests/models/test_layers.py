from __future__ import annotations

import torch

from models.layers import EncoderLayer, FeedForward, gelu_tanh
from tests.models.tiny import BERTS


def test_a_long_prefill_through_the_feed_forward_layer_equals_its_rows() -> None:
    torch.manual_seed(0)
    config = BERTS["bert-post"]
    layer = FeedForward(config, config.activation)
    x = torch.randn(3, 700, config.width)
    whole = layer(x)  # with gradients it is one piece
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), whole, atol=1e-6, rtol=1e-5)
    assert whole.grad_fn is not None


def test_dropout_acts_in_training_alone() -> None:
    torch.manual_seed(0)
    config = BERTS["bert-post"]
    layer = EncoderLayer(config, config.activation)
    layer.dropout.p = 0.5
    x, mask = torch.randn(2, 5, config.width), torch.ones(2, 1, 1, 5, dtype=torch.bool)
    assert not torch.equal(layer(x, mask), layer(x, mask))
    layer.eval()
    assert torch.equal(layer(x, mask), layer(x, mask))


def test_gelu_written_out_is_torchs_own_also_far_from_zero() -> None:
    x = torch.cat([torch.linspace(-12, 12, 10_001), torch.tensor([-1e30, -100.0, 0.0, 100.0, 1e30])])
    with torch.no_grad():
        torch.testing.assert_close(gelu_tanh(x), torch.nn.functional.gelu(x, approximate="tanh"), atol=1e-6, rtol=1e-5)
    assert gelu_tanh(x.requires_grad_()).grad_fn is not None
