from __future__ import annotations

import pytest
import torch
from torch import nn

from models.attention import CrossAttention, SelfAttention
from models.layers import (
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    GatedFeedForward,
    Sinusoids,
    TokenEmbedding,
    activation,
    gelu_tanh,
    padding_mask,
    sinusoids,
)
from models.parts import parts_of


@pytest.mark.parametrize("kind", [FeedForward, GatedFeedForward])
def test_a_long_prefill_through_the_feed_forward_layer_equals_its_rows(kind: type[FeedForward]) -> None:
    torch.manual_seed(0)
    layer = kind(32, 48, activation("gelu"))
    x = torch.randn(3, 700, 32)
    whole = layer(x)  # with gradients it is one piece
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), whole, atol=1e-6, rtol=1e-5)
    assert whole.grad_fn is not None


def test_dropout_acts_in_training_alone() -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(
        self_attention=SelfAttention(32, 4),
        feedforward=FeedForward(32, 48, activation("relu")),
        norm=lambda: nn.LayerNorm(32),
        dropout=0.5,
    )
    x, mask = torch.randn(2, 5, 32), torch.ones(2, 1, 1, 5, dtype=torch.bool)
    assert not torch.equal(layer(x, mask), layer(x, mask))
    layer.eval()
    assert torch.equal(layer(x, mask), layer(x, mask))


def test_gelu_written_out_is_torchs_own_also_far_from_zero() -> None:
    x = torch.cat([torch.linspace(-12, 12, 10_001), torch.tensor([-1e30, -100.0, 0.0, 100.0, 1e30])])
    with torch.no_grad():
        torch.testing.assert_close(gelu_tanh(x), torch.nn.functional.gelu(x, approximate="tanh"), atol=1e-6, rtol=1e-5)
    assert gelu_tanh(x.requires_grad_()).grad_fn is not None


def test_the_gate_decides_how_much_of_the_other_projection_passes() -> None:
    """Equation 6 of Shazeer 2020, with SiLU (Swish with beta 1) for the activation."""
    torch.manual_seed(0)
    layer, x = GatedFeedForward(8, 12, activation("silu"), bias=False), torch.randn(5, 8)
    gate, up, down = layer.inner.weight[:12], layer.inner.weight[12:], layer.outer.weight
    expected = ((x @ gate.T) * torch.sigmoid(x @ gate.T) * (x @ up.T)) @ down.T
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_layer_is_the_parts_it_is_given_each_with_a_norm_before_it_or_after_the_sum(norm_first: bool) -> None:
    """Figure 1 of Xiong et al. 2020: pre-norm and post-norm."""
    torch.manual_seed(0)
    attention, cross, feedforward = (
        SelfAttention(8, 2), CrossAttention(8, 2), GatedFeedForward(8, 12, activation("silu")),
    )  # fmt: skip
    layer = DecoderLayer(
        self_attention=attention,
        cross_attention=cross,
        feedforward=feedforward,
        norm=lambda: nn.RMSNorm(8),
        norm_first=norm_first,
    )
    norms = [layer.self_norm, layer.cross_norm, layer.feedforward_norm]
    for norm in norms:
        norm.weight.data.uniform_(0.5, 2)
    memory = (*layer.project_memory(torch.randn(2, 5, 8)), padding_mask(torch.tensor([5, 2]), 5))
    sublayers = (lambda y: attention(y, causal=True), lambda y: cross(y, *memory), feedforward)
    x = torch.randn(2, 3, 8)
    expected = x
    for norm, sublayer in zip(norms, sublayers, strict=True):
        expected = expected + sublayer(norm(expected)) if norm_first else norm(expected + sublayer(expected))
    torch.testing.assert_close(layer(x, memory), expected)
    assert len(set(norms)) == 3, "each has its own"
    assert set(parts_of(layer)) == {attention, cross, feedforward}


def test_positions_are_learned_fixed_or_left_to_attention() -> None:
    tokens, positions = torch.tensor([[5, 6]]), torch.tensor([[2, 0]])
    learned = nn.Embedding(9, 4)
    for given, added in ((learned, learned.weight), (Sinusoids(9, 4), sinusoids(9, 4)), (None, torch.zeros(9, 4))):
        embedding = TokenEmbedding(10, 4, pad_id=0, positions=given, scale=3.0)
        expected = embedding.token.weight[tokens] * 3 + added[positions]
        torch.testing.assert_close(embedding(tokens, positions), expected)
    assert "position.weight" not in TokenEmbedding(10, 4, pad_id=0, positions=Sinusoids(9, 4)).state_dict()


@pytest.mark.parametrize("tied", [True, False])
def test_the_projection_onto_the_vocabulary_is_replaced_where_serving_computes_it(tied: bool) -> None:
    for serves in (True, False):
        embedding = TokenEmbedding(10, 4, pad_id=0, positions=None, tied=tied, serves_logits=serves)
        before, x, made = embedding.logits(torch.ones(4)), torch.ones(4), []

        def make(weight: torch.Tensor, bias: torch.Tensor | None, made: list = made) -> nn.Module:
            made.append(bias)
            return _Linear(weight)

        embedding.replace_linears(make)
        assert made == ([None] if serves else [])
        assert torch.equal(embedding.logits(x), before)


class _Linear(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T
