"""Published generators through the engine go on as `generate` of `transformers` does, beside others and alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from service.engine.beams import Beams
from service.engine.sequence import Sequence, SequenceSpec
from tests.models.huggingface.published import DECODERS, made, read_model, written
from tests.service.engine.driving import arrive, engine_of

PROMPTS = [[5, 9, 14], [7], [30, 31, 32, 33, 34, 35, 36], [60, 3]]
NEW = 12


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("name", [name for name in DECODERS if "longrope" not in name])
def test_its_tokens_are_those_of_transformers(name: str, beams: int, tmp_path: Path) -> None:
    theirs = made(*DECODERS[name], "causal", seed=3)
    model = read_model(written(theirs, tmp_path))
    ends = [2, *range(80, 97)]  # many, so that some are met
    sequences = [
        Sequence(
            SequenceSpec(
                id=str(number),
                prompt=prompt,
                max_new_tokens=NEW,
                end_id=ends[0],
                other_ends=tuple(ends[1:]),
                beams=Beams(width=beams, results=beams) if beams > 1 else None,
            )
        )
        for number, prompt in enumerate(PROMPTS)
    ]
    arrive(engine_of(model, slots=8, prefill_tokens=40), sequences, together=2)
    expected = [
        theirs.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=NEW,
            do_sample=False,
            num_beams=beams,
            eos_token_id=ends,
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        for prompt in PROMPTS
    ]
    assert [sequence.output for sequence in sequences] == expected
