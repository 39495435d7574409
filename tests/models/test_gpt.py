from __future__ import annotations

import math

import torch

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
    from models.gpt import GPT

    model = GPT(CONFIGS["gpt-pre"]).eval()
    logits = model(CausalBatch(tokens_BT=torch.randint(3, 61, (8, 20))))
    entropy = -(logits.log_softmax(-1) * logits.softmax(-1)).sum(-1).mean()
    assert entropy > 0.99 * math.log(61)
