"""A text's vectors against the definitions of the poolings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.embedder import POOLINGS, Embedder
from tests.models.tiny import prompts_of, row_of, state_for


@torch.inference_mode()
def test_a_vector_is_pooled_from_the_hidden_states_of_a_texts_own_tokens(classifier: nn.Module) -> None:
    prompts = prompts_of(6, 1, 4)
    got_BPC = Embedder(classifier)(prompts).unflatten(1, (len(POOLINGS), -1))
    for row in range(3):
        own_SC = classifier.hidden(row_of(prompts, row))[0]
        expected = {"mean": own_SC.mean(dim=0), "cls": own_SC[0], "max": own_SC.amax(dim=0)}
        for place, pooling in enumerate(POOLINGS):
            torch.testing.assert_close(got_BPC[row, place], expected[pooling], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_prefill_is_the_whole_answer_and_nothing_is_kept_to_decode_from(classifier: nn.Module) -> None:
    embedder, prompts = Embedder(classifier), prompts_of(6, 3)
    state = state_for(embedder)
    assert torch.equal(embedder.prefill(prompts, torch.tensor([4, 0]), state), embedder(prompts))
    assert state.nbytes == 0
    with pytest.raises(AssertionError, match="never called"):
        embedder.decode(torch.tensor([1]), torch.tensor([0]), state)
