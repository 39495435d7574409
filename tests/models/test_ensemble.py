from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoint import load
from models.config import ConfigError
from models.ensemble import Ensemble, together
from models.interface import StateSize
from models.tokenizer import train_byte_bpe
from tests import checkpoints
from tests.models.tiny import CONFIGS, built, ensemble, prompts_of, roughened, teacher_forced


@torch.inference_mode()
def test_the_probability_of_a_token_is_the_mean_of_the_members() -> None:
    both, prompt = ensemble(), prompts_of(5)
    got = teacher_forced(both, prompt, [7, 8]).exp()
    each = [teacher_forced(member, prompt, [7, 8]).softmax(dim=-1) for member in both.members]
    torch.testing.assert_close(got, torch.stack(each).mean(dim=0))
    assert (each[0] - each[1]).abs().max() > 0.01


def test_models_that_do_not_fit_together_are_refused_with_what_differs() -> None:
    config = CONFIGS["seq2seq-pre-sinusoidal-tied"]
    with pytest.raises(ConfigError, match="differ in heads: 4 and 2"):
        Ensemble([built(config), built(replace(config, heads=2))])


def test_checkpoints_answer_as_one_where_their_vocabularies_are_one(tmp_path: Path) -> None:
    for number in (1, 2):
        checkpoints.translator(tmp_path / str(number))
    one, other = load(tmp_path / "1"), load(tmp_path / "2")
    roughened(other.model)
    assert together([one]) is one
    both, prompt, said = together([one, other]), prompts_of(5), [7, 8]
    each = [teacher_forced(member.model, prompt, said).softmax(dim=-1) for member in (one, other)]
    torch.testing.assert_close(teacher_forced(both.model, prompt, said).exp(), torch.stack(each).mean(dim=0))
    size = StateSize(slots=2, length=9, source_length=5)
    assert both.model.new_state(size).nbytes == 2 * one.model.new_state(size).nbytes
    assert both.manifest == one.manifest
    stranger = replace(other, tokenizer=train_byte_bpe(["the cat sat"], 320))
    with pytest.raises(ConfigError, match="translator and translator have different vocabularies"):
        together([one, stranger])
    checkpoints.generator(tmp_path / "3")
    with pytest.raises(ConfigError, match="architecture seq2seq"):
        together([one, load(tmp_path / "3")])
