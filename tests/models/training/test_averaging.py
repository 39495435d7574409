import pytest
import torch
from torch import nn

from models.training.averaging import Averaging
from models.training.parallel import ALONE
from models.training.sections import Training
from models.training.state import Progress


def averaging(directory, **changes) -> tuple[nn.Parameter, Averaging]:
    weight = nn.Parameter(torch.zeros(1))
    training = Training(steps=10, batch_tokens=10, learning_rate=0.1, warmup_steps=0, **changes)
    return weight, Averaging({"weight": weight}, training, directory, ALONE)


def test_the_moving_average_forgets_the_first_steps_fast_and_later_ones_slowly(tmp_path):
    weight, average = averaging(tmp_path, average_decay=0.9)
    for step, share in ((0, 0.9), (80, 1 - 81 / 90), (10_000, 0.1)):
        average.moving["weight"].zero_()
        weight.data = torch.ones(1)
        average.update(step)
        assert average.moving["weight"].item() == pytest.approx(share, rel=1e-4)


def test_the_mean_is_of_the_last_validations_alone(tmp_path):
    weight, average = averaging(tmp_path, average_last=2)
    progress = Progress()
    for step, value, expected in ((1, 1.0, 1.0), (2, 3.0, 2.0), (3, 5.0, 4.0)):
        progress.step = step
        weight.data = torch.tensor([value])
        average.collect(progress)
        with average.in_use():
            assert weight.item() == expected
        assert weight.item() == value
    average.drop_old(progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "weights-000000002.safetensors",
        "weights-000000003.safetensors",
    ]


def test_a_validation_that_is_made_again_counts_once(tmp_path):
    weight, average = averaging(tmp_path, average_last=3)
    progress = Progress(step=2, kept=[1, 2])
    for step in (1, 2):
        weight.data = torch.tensor([float(step)])
        average.collect(Progress(step=step))
    average.collect(progress)
    assert progress.kept == [1, 2]
    with average.in_use():
        assert weight.item() == 1.5


def test_the_best_weights_are_published_with_early_stopping(tmp_path):
    weight, average = averaging(tmp_path, average_decay=0.5, patience=1)
    progress = Progress(step=4, best_step=4)
    average.moving["weight"].fill_(7)
    with average.in_use():
        average.keep_best(progress)
    average.moving["weight"].fill_(9)
    average.publish(progress)
    assert weight.item() == 7


def test_without_averages_the_weights_in_training_are_published(tmp_path):
    weight, average = averaging(tmp_path)
    weight.data = torch.tensor([3.0])
    average.update(1)
    average.collect(Progress(step=1))
    average.publish(Progress(step=1))
    assert weight.item() == 3
    assert list(tmp_path.iterdir()) == []
