from __future__ import annotations

import pytest
import torch
from torch import nn

from models.interface import Prompts
from tests.models.tiny import prompts_of, state_for


def test_segments_tell_the_first_text_from_the_second(classifier: nn.Module) -> None:
    prompts = prompts_of(6)
    segments = torch.tensor([[0, 0, 0, 1, 1, 1]])
    pair = Prompts(tokens_BS=prompts.tokens_BS, lengths_B=prompts.lengths_B, segments_BS=segments)
    assert (classifier(pair) - classifier(prompts)).abs().max() > 1e-3


def test_each_head_has_its_own_output(classifier: nn.Module) -> None:
    hidden = classifier.hidden(prompts_of(6, 2))
    assert classifier.masked_words(hidden[:, 1:3]).shape == (2, 2, 61)
    assert classifier.next_sentence(hidden).shape == (2, 2)
    assert classifier(prompts_of(6, 2)).shape == (2, 3)


def test_every_token_sees_both_sides(classifier: nn.Module) -> None:
    prompts = prompts_of(6)
    changed = prompts.tokens_BS.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 58 + 3
    other = Prompts(tokens_BS=changed, lengths_B=prompts.lengths_B)
    difference = (classifier.hidden(prompts) - classifier.hidden(other)).abs().amax(dim=2)
    assert (difference > 1e-4).all()


def test_a_classifier_is_never_asked_to_decode(classifier: nn.Module) -> None:
    with pytest.raises(AssertionError, match="never called"):
        classifier.decode(torch.tensor([1]), torch.tensor([0]), state_for(classifier))


def test_a_frozen_encoder_gives_fixed_features_and_only_its_head_learns(classifier: nn.Module) -> None:
    classifier.freeze_encoder()
    classifier.train()
    torch.testing.assert_close(classifier.hidden(prompts_of(6)), classifier.hidden(prompts_of(6)))
    learned = {name.split(".")[0] for name, parameter in classifier.named_parameters() if parameter.requires_grad}
    assert learned == {"pooler", "classifier"}
