import json
from pathlib import Path

import pytest
import torch
from torch import nn

from models.training import trainer as module
from models.training.evaluation.validation import Answers, Shown
from models.training.state import latest_state
from models.training.trainer import Trainer
from tests.models.training.small import (
    Killed,
    assert_equal,
    die,
    do_at,
    log,
    recipe,
    run_all,
    trainer,
    weights,
)
from tests.models.training.workers import together

pytestmark = pytest.mark.usefixtures("no_pictures")


class Scores:
    """A judge with a list of scores, by the number of the validation; it remembers which weights it was asked about."""

    measure = "bleu"

    def __init__(self, *scores: float | None, higher_is_better: bool = True, every: int = 2) -> None:
        self.scores, self.higher_is_better, self.every = scores, higher_is_better, every
        self.seen: list[dict[str, torch.Tensor]] = []
        self.trainer: Trainer | None = None

    def __call__(self, model: nn.Module, loss: float, accuracy: float) -> Answers:
        assert not model.training
        assert self.trainer is not None
        number = self.trainer.progress.step // self.every - 1
        self.seen.append({name: p.detach().clone() for name, p in model.named_parameters()})
        return Answers(self.scores[number], (Shown("1 2", "3", str(number)),))


def judged(directory: Path, scores: Scores, **changes) -> Trainer:
    settings = {"steps": 100, "validate_every": scores.every, "patience": 2, "patience_by": "score"}
    more = {name: changes.pop(name) for name in ("group", "say", "sinks") if name in changes}
    one = trainer(directory, recipe(**{**settings, **changes}), judge=scores, **more)
    scores.trainer = one
    return one


def test_patience_by_score_keeps_and_publishes_the_best_score_whatever_the_loss(tmp_path):
    scores = Scores(10.0, 30.0, 20.0, 29.0, 99.0)
    one = judged(tmp_path, scores, average_decay=0.9)
    result = one.run()
    assert (result.score, one.progress.step, one.progress.best_step) == (30.0, 8, 4)
    assert result.loss > one.progress.last.loss  # which went on falling
    assert_equal(weights(one), scores.seen[1])
    assert [entry["bleu"] for entry in log(tmp_path)] == [10.0, 30.0, 20.0, 29.0]
    assert [entry["samples"][0]["answer"] for entry in log(tmp_path, "samples.jsonl")] == ["0", "1", "2", "3"]


def test_bits_are_better_the_fewer_they_are(tmp_path):
    one = judged(tmp_path, Scores(3.0, 2.0, 2.5, 2.1, 1.0, higher_is_better=False))
    assert (one.run().score, one.progress.step) == (2.0, 8)


def test_a_score_that_is_missing_is_not_better_than_one_that_is_there(tmp_path):
    one = judged(tmp_path, Scores(None, 2.0, None, None, 5.0))
    assert (one.run().score, one.progress.best_step) == (2.0, 4)


def test_patience_by_loss_looks_at_no_score(tmp_path):
    one = judged(tmp_path, Scores(*range(50, 0, -1)), patience_by="loss", patience=1, steps=20)
    one.run()
    assert one.progress.best_step > 2


@pytest.mark.parametrize("step", [3, 6, 7])
def test_scores_are_part_of_the_state(tmp_path, monkeypatch, step):
    numbers = (10.0, 30.0, 20.0, 29.0, 99.0)
    whole = judged(tmp_path / "whole", Scores(*numbers), save_every=0)
    result = whole.run()
    with monkeypatch.context() as patch:
        do_at(patch, step, die)
        with pytest.raises(Killed):
            judged(tmp_path / "broken", Scores(*numbers), save_every=0).run()
    resumed = judged(tmp_path / "broken", Scores(*numbers), save_every=0)
    assert resumed.resume()
    assert resumed.run() == result
    assert_equal(weights(resumed), weights(whole))
    assert log(tmp_path / "broken", "samples.jsonl") == log(tmp_path / "whole", "samples.jsonl")


def test_a_state_of_before_there_were_scores_is_taken_up(tmp_path):
    trainer(tmp_path, recipe()).run()
    path = latest_state(tmp_path) / "progress.json"
    values = json.loads(path.read_text())
    for name in ("last", "best"):
        del values[name]["score"]
    path.write_text(json.dumps(values))
    again = judged(tmp_path, Scores(*[5.0] * 8), steps=16, patience=0)
    assert again.resume()
    assert again.progress.best.score is None
    again.run()
    assert again.progress.best.score == 5.0


def test_one_worker_is_asked_and_all_stop_at_the_same_validation(tmp_path):
    groups = together(2)
    judges = [Scores(10.0, 30.0, 20.0, 29.0, 99.0) for _ in groups]
    runs = [judged(tmp_path, scores, group=group, accumulate=2) for scores, group in zip(judges, groups, strict=True)]
    results = run_all(runs)
    assert results[0] == results[1]
    assert results[0].score == 30.0
    assert [one.progress.step for one in runs] == [8, 8]
    assert (len(judges[0].seen), len(judges[1].seen)) == (4, 0)
    assert_equal(weights(runs[0]), weights(runs[1]))


def test_answers_and_the_score_are_shown_and_what_they_cost_is_said(tmp_path, monkeypatch):
    said: list[str] = []
    now = [0.0]

    class Slow(Scores):
        def __call__(self, *arguments):
            now[0] += 70.0
            return super().__call__(*arguments)

    monkeypatch.setattr(module.time, "monotonic", lambda: now.__setitem__(0, now[0] + 1) or now[0])
    judged(tmp_path, Slow(12.3456, 30.0), steps=4, say=said.append).run()
    (shown,) = [line for line in said if "step 2: validation" in line]
    assert ", BLEU 12.35" in shown
    assert shown.splitlines()[1:] == ["  1 2", "    expected: 3", "    answer:   0"]
    assert "BLEU 30.00" in said[-1]
    assert len([line for line in said if "of the time goes into answers at validations" in line]) == 1
