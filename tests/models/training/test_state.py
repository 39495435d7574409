import json

import pytest
import torch
from torch import nn

from models.training import state as module
from models.training.optimizer import build_optimizers
from models.training.sections import Training
from models.training.state import (
    Measurement,
    Progress,
    ResumeError,
    States,
    drop_weights,
    latest_state,
    load_weights,
    save_weights,
)

TRAINING = Training(steps=10, batch_tokens=10, learning_rate=0.1, warmup_steps=0)
PROGRESS = Progress(step=3, epoch=1, position=2, best=Measurement(1.5, 0.5, 9), best_step=2, kept=[1, 2])


def trained():
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    optimizers = build_optimizers(model, TRAINING)
    model(torch.randn(4, 3)).sum().backward()
    optimizers.step(1.0)
    return dict(model.named_parameters()), optimizers


def save(directory, progress=PROGRESS):
    learned, optimizers = trained()
    average = {name: 2 * p.detach() for name, p in learned.items()}
    States(directory, "hash", learned, average, optimizers).save(progress)
    return learned, average, optimizers


def test_what_is_saved_comes_back(tmp_path):
    learned, average, optimizers = save(tmp_path)
    other, others = trained()
    with torch.no_grad():
        for parameter in other.values():
            for tensor in (parameter, *others.state_of(parameter).values()):
                tensor.zero_()
    found = {name: torch.zeros_like(p) for name, p in other.items()}
    assert States(tmp_path, "hash", other, found, others).load(3) == PROGRESS
    for name, parameter in learned.items():
        assert torch.equal(other[name], parameter)
        assert torch.equal(found[name], average[name])
        for key, value in optimizers.state_of(parameter).items():
            assert torch.equal(others.state_of(other[name])[key], value), key


def test_only_the_latest_state_is_kept_and_unfinished_ones_go(tmp_path):
    save(tmp_path)
    (tmp_path / ".state-000000004.123").mkdir()
    save(tmp_path, Progress(step=10))
    assert [path.name for path in tmp_path.iterdir()] == ["state-000000010"]


def test_a_state_that_could_not_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    save(tmp_path)

    def full(tensors, path):
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "_save", full)
    with pytest.raises(OSError, match="no space"):
        save(tmp_path, Progress(step=10))
    assert latest_state(tmp_path).name == "state-000000003"


def test_a_state_of_another_version_of_the_program_is_refused(tmp_path):
    states = States(tmp_path, "hash", *save(tmp_path))
    path = latest_state(tmp_path) / "progress.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "unknown": 1}))
    with pytest.raises(ResumeError, match="cannot be read"):
        states.load(3)


def test_a_state_that_another_machine_keeps_to_itself_is_missed(tmp_path):
    states = States(tmp_path, "hash", *save(tmp_path))
    with pytest.raises(
        ResumeError, match="state-000000004 is missing here: the folder of the run must be one that all"
    ):
        states.load(4)


def test_weights_of_validations_are_kept_by_kind_and_step(tmp_path):
    for step in (1, 2, 3):
        save_weights(tmp_path, "best", step, {"a": torch.tensor([float(step)])})
        save_weights(tmp_path, "weights", step, {"a": torch.tensor([10.0 * step])})
    drop_weights(tmp_path, "best", [2, 3])
    assert load_weights(tmp_path, "best", 2)["a"].item() == 2
    assert load_weights(tmp_path, "weights", 1)["a"].item() == 10
    with pytest.raises(ResumeError, match=r"best-000000001.safetensors is missing"):
        load_weights(tmp_path, "best", 1)
