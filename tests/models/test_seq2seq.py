from __future__ import annotations

import torch

from models.interface import Seq2SeqBatch
from models.layers import sinusoids
from tests.models.tiny import CONFIGS, built


def test_the_source_decides_the_output() -> None:
    model = built(CONFIGS["seq2seq-pre-sinusoidal-tied"])
    target = torch.tensor([[1, 5, 6]])

    def logits(source: list[int]) -> torch.Tensor:
        lengths = torch.tensor([len(source)])
        return model(Seq2SeqBatch(source_BS=torch.tensor([source]), source_lengths_B=lengths, target_BT=target))

    assert (logits([7, 8, 2]) - logits([9, 8, 2])).abs().max() > 1e-3


def test_tied_embeddings_are_one_matrix_in_the_weights() -> None:
    tied = built(CONFIGS["seq2seq-pre-sinusoidal-tied"]).state_dict()
    untied = built(CONFIGS["seq2seq-pre-learned-untied"]).state_dict()
    assert "embedding.output.weight" not in tied
    assert "embedding.output.weight" in untied


def test_pre_norm_stacks_end_in_a_norm_and_post_norm_stacks_do_not() -> None:
    assert "encoder_norm.weight" in built(CONFIGS["seq2seq-pre-sinusoidal-tied"]).state_dict()
    assert "encoder_norm.weight" not in built(CONFIGS["seq2seq-post-sinusoidal-tied"]).state_dict()


def test_sinusoids_are_sines_then_cosines_of_falling_frequencies() -> None:
    table = sinusoids(3, 4)
    expected = torch.tensor([[0, 0, 1, 1], [0.8415, 1e-4, 0.5403, 1.0], [0.9093, 2e-4, -0.4161, 1.0]])
    torch.testing.assert_close(table, expected, atol=1e-4, rtol=0)
