import pytest
import torch

from models.training.evaluation import greedy
from models.training.evaluation.greedy import continuations
from tests.models.tiny import CONFIGS, built, prompts_of, row_of, teacher_forced


def alone(model: torch.nn.Module, prompt, limit: int) -> list[int]:
    """By forward passes over all that was said, without a cache."""
    said: list[int] = []
    while len(said) < limit:
        best = int(teacher_forced(model, prompt, said)[-1].argmax())
        if best == model.config.end_id:
            break
        said.append(best)
    return said


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_batched_continuations_are_those_of_each_alone_without_a_cache(name: str, monkeypatch) -> None:
    monkeypatch.setattr(greedy, "_ROWS", 3)  # more than one batch
    model = built(CONFIGS[name])
    prompts = prompts_of(3, 9, 1, 6, 12)
    limits = [8, 3, 12, 0, 5]
    rows = [row_of(prompts, row) for row in range(5)]
    expected = [alone(model, row, limit) for row, limit in zip(rows, limits, strict=True)]
    # What one of them says in the middle becomes the end token of all: some end before their limit.
    model.config.__dict__["end_id"] = ends = max(expected, key=len)[2]
    try:
        found = continuations(model, [row.tokens_BS[0].tolist() for row in rows], limits)
        assert found == [alone(model, row, limit) for row, limit in zip(rows, limits, strict=True)]
    finally:
        model.config.__dict__["end_id"] = 2
    assert [len(each) for each in found] != limits
    assert all(ends not in each for each in found)


def test_nothing_is_asked_of_nobody() -> None:
    assert continuations(built(CONFIGS["gpt-pre"]), [], []) == []
