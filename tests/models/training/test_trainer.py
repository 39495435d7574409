import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.architectures import build
from models.config import BertConfig
from models.training import trainer as module
from models.training.data.batches import plan_batches
from models.training.data.examples import Example
from models.training.fast import divergence
from models.training.objectives import CausalLanguageModel, Classification, Pretraining
from models.training.sections import RecipeError
from models.training.state import ResumeError, latest_state
from models.training.trainer import DivergedError, Interrupted, Trainer
from tests.models.training.reading import examples_of
from tests.models.training.small import (
    VOCABULARY,
    Killed,
    assert_equal,
    die,
    do_at,
    log,
    recipe,
    run_all,
    texts,
    trainer,
    weights,
)
from tests.models.training.workers import together

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_a_run_learns_and_says_what_it_measured(tmp_path):
    said: list[str] = []
    result = trainer(tmp_path, recipe(steps=60, validate_every=20), say=said.append).run()
    entries = log(tmp_path)
    assert [entry["step"] for entry in entries] == [20, 40, 60]
    assert entries[-1]["loss"] == result.loss < entries[0]["loss"] < np.log(VOCABULARY)
    assert result.accuracy > 0.5
    assert result.scored == sum(texts(20, 2).target_lengths_N)
    assert any("done: validation loss" in line for line in said)


def test_the_last_step_is_validated_once_wherever_it_falls(tmp_path):
    trainer(tmp_path, recipe(steps=10)).run()
    assert [entry["step"] for entry in log(tmp_path)] == [4, 8, 10]


WAYS = {
    "plain": {},
    "muon, accumulated": {"optimizer": "muon", "accumulate": 3},
    "moving average": {"average_decay": 0.9},
    "mean of the last": {"average_last": 2},
    "early stopping": {"patience": 5, "learning_rate": 0.5},
    "everything": {"optimizer": "muon", "accumulate": 2, "average_last": 3, "patience": 2, "schedule": "inverse_sqrt"},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("step", [3, 9, 12])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, monkeypatch, way, step):
    training = recipe(validate_every=2, save_every=0, **way)
    whole = trainer(tmp_path / "whole", training)
    result = whole.run()
    with monkeypatch.context() as patch:
        do_at(patch, step, die)
        with pytest.raises(Killed):
            trainer(tmp_path / "broken", training).run()
    resumed = trainer(tmp_path / "broken", training)
    assert resumed.resume()
    assert resumed.progress.step == step - 1
    assert resumed.run() == result
    assert_equal(weights(resumed), weights(whole))
    for entry, other in zip(log(tmp_path / "broken"), log(tmp_path / "whole"), strict=True):
        assert {**entry, "seconds": 0} == {**other, "seconds": 0}
    steps = [entry["step"] for entry in log(tmp_path / "broken", "steps.jsonl")]
    assert steps == sorted(set(steps))


def test_a_run_killed_before_its_first_state_begins_anew(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        do_at(patch, 6, die)
        with pytest.raises(Killed):
            trainer(tmp_path, recipe()).run()
    again = trainer(tmp_path, recipe())
    assert not again.resume()
    again.run()
    assert [entry["step"] for entry in log(tmp_path)] == [4, 8, 12]


def test_a_polite_stop_saves_the_step_it_was_at_and_restores_the_handlers(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        do_at(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match="stopped after step 5 of 12; the state is saved"):
            trainer(tmp_path, recipe()).run()
    assert signal.getsignal(signal.SIGTERM) == before
    assert latest_state(tmp_path).name == "state-000000005"


def test_accumulated_batches_are_one_large_batch(tmp_path, monkeypatch):
    """The loss is normalized over the whole step: batches of different sizes do not count alike."""
    gradients = []

    def keep(parameters, largest):
        gradients.append([p.grad.clone() for p in parameters])

    monkeypatch.setattr(module, "clip_gradients", keep)
    examples = texts(12, 3)
    sizes = CausalLanguageModel(0).sizes(examples)
    for name, changes in (
        ("one", {"batch_tokens": 10_000}),
        ("many", {"batch_tokens": 20, "accumulate": len(plan_batches(sizes, 20, 7, 0))}),
    ):
        one = trainer(tmp_path / name, recipe(steps=1, **changes), dropout=0.0, training=examples)
        one.run()
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("changes", [{}, {"average_decay": 0.9}, {"average_last": 2, "patience": 3}], ids=str)
def test_workers_learn_what_one_learns_alone(tmp_path, changes):
    # Without dropout: these workers are threads, and share torch's random numbers.
    training = recipe(accumulate=4, steps=8, **changes)
    alone = trainer(tmp_path / "alone", training, dropout=0.0)
    expected = alone.run()
    runs = [trainer(tmp_path / "shared", training, dropout=0.0, group=group) for group in together(2)]
    results = run_all(runs)
    assert results[0] == results[1]
    assert results[0].loss == pytest.approx(expected.loss, abs=1e-5)
    assert_equal(weights(runs[0]), weights(runs[1]))
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(weights(runs[0])[name], tensor, rtol=0, atol=1e-5)
    assert len(log(tmp_path / "shared")) == len(log(tmp_path / "alone"))


def test_batches_that_workers_cannot_share_evenly_are_refused(tmp_path):
    with pytest.raises(
        RecipeError, match="accumulate is 3, which 2 workers cannot share evenly: make it a multiple of 2"
    ):
        trainer(tmp_path, recipe(accumulate=3), group=together(2)[0])


def test_early_stopping_ends_the_run_and_publishes_the_best(tmp_path, monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 2.1, 1.0])
    seen = []

    def measured(self):
        seen.append(weights(self))
        return module.Measurement(next(losses), 0.5, 10)

    monkeypatch.setattr(Trainer, "measure", measured)
    one = trainer(tmp_path, recipe(steps=100, validate_every=2, patience=2))
    assert one.run().loss == 2.0
    assert one.progress.step == 8
    assert_equal(weights(one), seen[1])
    resumed = trainer(tmp_path, recipe(steps=100, validate_every=2, patience=2))
    assert resumed.resume()
    assert resumed.run().loss == 2.0
    assert_equal(weights(resumed), seen[1])
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["best-000000004.safetensors"]


def test_the_mean_of_the_last_validations_is_published(tmp_path, monkeypatch):
    snapshots = []
    monkeypatch.setattr(
        module.Averaging,
        "collect",
        lambda self, progress, original=module.Averaging.collect: (
            snapshots.append({name: p.detach().clone() for name, p in self._learned.items()}),
            original(self, progress),
        ),
    )
    one = trainer(tmp_path, recipe(average_last=2))
    one.run()
    for name, tensor in weights(one).items():
        torch.testing.assert_close(tensor, (snapshots[1][name] + snapshots[2][name]) / 2)
    assert len(list(tmp_path.glob("weights-*"))) == 2


def test_what_is_published_is_what_was_measured(tmp_path):
    one = trainer(tmp_path, recipe(average_decay=0.9))
    assert one.run() == one.measure()


def test_a_frozen_encoder_is_neither_trained_nor_saved(tmp_path):
    torch.manual_seed(1)
    model = build(BertConfig(vocab_size=40, width=16, heads=2, feedforward=32, layers=1, labels=2, max_positions=16))
    model.freeze_encoder()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rows = [Example(np.array([2, 5 + n % 2, 3], np.int32), np.array([n % 2], np.int32)) for n in range(40)]
    examples = {"training": examples_of(rows), "validation": examples_of(rows[:8])}
    one = trainer(tmp_path, recipe(average_last=2), model=model, objective=Classification(0, 3, 4), **examples)
    one.run()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"pooler.weight", "pooler.bias", "classifier.weight", "classifier.bias"}
    saved = [latest_state(tmp_path) / "model.safetensors", *tmp_path.glob("weights-*.safetensors")]
    assert len(saved) == 3
    assert all(load_file(path).keys() == changed for path in saved)


def test_a_loss_of_two_terms_trains_both_heads(tmp_path):
    torch.manual_seed(1)
    model = build(BertConfig(vocab_size=40, width=16, heads=2, feedforward=32, layers=1, labels=2, max_positions=32))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    random = np.random.default_rng(1)
    rows = [
        Example(
            np.array([2, *random.integers(5, 40, 6), 3], np.int32), np.array([*random.integers(5, 40, 5), 3], np.int32)
        )
        for _ in range(40)
    ]
    objective = Pretraining(0, 3, 4, vocab_size=40, longest=32, mask_rate=0.15, next_sentence=True)
    examples = {"training": examples_of(rows), "validation": examples_of(rows[:10])}
    one = trainer(tmp_path, recipe(accumulate=2), model=model, objective=objective, **examples)
    one.run()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {"next_sentence_head.weight", "masked_word_head.bias"} <= changed
    assert "classifier.weight" not in changed


def test_a_state_of_another_recipe_is_refused(tmp_path):
    trainer(tmp_path, recipe()).run()
    with pytest.raises(ResumeError, match="saved under another recipe"):
        trainer(tmp_path, recipe(), recipe_hash="another").resume()


def test_a_state_that_is_damaged_is_refused(tmp_path):
    trainer(tmp_path, recipe()).run()
    (latest_state(tmp_path) / "model.safetensors").write_bytes(b"")
    with pytest.raises(ResumeError, match="cannot be read"):
        trainer(tmp_path, recipe()).resume()


def test_a_larger_budget_continues_a_finished_run(tmp_path):
    trainer(tmp_path, recipe()).run()
    more = trainer(tmp_path, recipe(steps=20))
    assert more.resume()
    more.run()
    assert more.progress.step == 20
    assert [entry["step"] for entry in log(tmp_path)] == [4, 8, 12, 16, 20]


def test_a_run_ends_when_its_minutes_are_spent(tmp_path):
    one = trainer(tmp_path, recipe(steps=1_000_000, max_minutes=0.005))
    one.run()
    assert 1 <= one.progress.step < 10_000


def test_a_loss_that_is_no_number_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "smoothed_cross_entropy", lambda x, y, s, n: (x.sum() * 0) + torch.nan)
    with pytest.raises(DivergedError, match="the loss is nan at step 0, learning rate"):
        trainer(tmp_path, recipe()).run()
    assert latest_state(tmp_path) is None


def test_a_run_in_bfloat16_learns_too(tmp_path):
    result = trainer(tmp_path, recipe(steps=60, precision="bfloat16", optimizer="muon")).run()
    assert result.accuracy > 0.5


def test_two_readings_without_dropout_are_one(tmp_path):
    one, two = (trainer(tmp_path / str(r_drop), recipe(steps=10, r_drop=r_drop), dropout=0.0) for r_drop in (0.0, 5.0))
    assert one.run().loss == pytest.approx(two.run().loss, rel=1e-5)


def test_readings_that_differ_are_drawn_together(tmp_path):
    """Their divergence after training with R-Drop is smaller than without."""
    differing = []
    for r_drop in (0.0, 5.0):
        some = trainer(tmp_path / str(r_drop), recipe(steps=60, r_drop=r_drop), dropout=0.3)
        some.run()
        some.model.train()
        objective, examples = CausalLanguageModel(0), texts(20, 3)
        batch = objective.batch([examples[row] for row in range(20)], np.random.default_rng(1))
        torch.manual_seed(1)
        with torch.no_grad():
            differing.append(float(divergence(*(objective.logits(some.model, batch)[0] for _ in range(2)))))
    assert differing[1] < 0.7 * differing[0]
