from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from models.gpt import GPT
from models.interface import CausalBatch
from tests.models.tiny import CONFIGS, built


def test_a_later_token_changes_no_earlier_output() -> None:
    model = built(CONFIGS["gpt-pre"])
    first, second = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[5, 6, 7, 50]])
    got = [model(CausalBatch(tokens_BT=tokens)) for tokens in (first, second)]
    torch.testing.assert_close(got[0][:, :3], got[1][:, :3])
    assert not torch.allclose(got[0][:, 3], got[1][:, 3])


def test_a_fresh_model_knows_nothing() -> None:
    torch.manual_seed(0)
    model = GPT(CONFIGS["gpt-pre"]).eval()
    logits = model(CausalBatch(tokens_BT=torch.randint(3, 61, (8, 20))))
    entropy = -(logits.log_softmax(-1) * logits.softmax(-1)).sum(-1).mean()
    assert entropy > 0.99 * math.log(61)


def test_projections_into_the_residual_stream_begin_the_smaller_the_more_layers_add_to_it() -> None:
    """Section 2.3 of Radford et al. 2019."""
    torch.manual_seed(0)
    model = GPT(replace(CONFIGS["gpt-pre"], width=64, feedforward=64, layers=8))
    for layer in model.layers:
        attention, feedforward = layer.self_attention, layer.feedforward
        for entering, leaving in ((attention.qkv, attention.output), (feedforward.inner, feedforward.outer)):
            assert float(entering.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
            assert float(leaving.weight.detach().std()) == pytest.approx(0.02 / 4, rel=0.1)
