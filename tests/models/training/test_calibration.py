from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models import checkpoint
from models.training import run
from models.training.calibration import best_temperature
from models.training.tasks import task_of


def drawn(temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels that are as uncertain as logits divided by `temperature` say."""
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(20_000, 3, generator=generator)
    return logits, torch.multinomial((logits / temperature).softmax(dim=1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    assert best_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_makes_the_labels_likelier() -> None:
    logits, labels = drawn(1.7)
    best = best_temperature(logits, labels)
    losses = [float(F.cross_entropy(logits / (best * times), labels)) for times in (0.97, 1.0, 1.03)]
    assert min(losses) == losses[1]


def test_labels_that_are_always_right_end_at_a_limit() -> None:
    logits = torch.eye(4).repeat(5, 1)
    assert best_temperature(logits, torch.arange(4).repeat(5)) == pytest.approx(1 / 20, rel=1e-3)


def test_a_calibrated_run_gives_the_same_labels_with_other_probabilities(write_recipe, recipes, data, tmp_path) -> None:
    probabilities = {}
    (tmp_path / "tokenizer").mkdir()
    for name, calibrate in (("plain", False), ("calibrated", True)):
        recipe = write_recipe({**recipes["classifier"], "calibrate": calibrate})
        runs = tmp_path / name
        if calibrate:  # a WordPiece vocabulary breaks ties at random: both runs have the same one
            (runs / "classifier").mkdir(parents=True)
            tokenizer = (tmp_path / "plain" / "classifier" / "tokenizer.json").read_bytes()
            (runs / "classifier" / "tokenizer.json").write_bytes(tokenizer)
        job = run.Job(recipe, data, runs, "nowhere")
        found = checkpoint.load(run.train(job, lambda line: None).checkpoint)
        prepared = run.prepare(job, lambda line: None)
        objective = task_of(prepared.recipe).objective(prepared.recipe, prepared.config, prepared.tokenizer)
        batch = objective.batch([prepared.validation[row] for row in range(16)], None)  # type: ignore[arg-type]
        with torch.inference_mode():
            probabilities[name] = found.model(batch.inputs).log_softmax(dim=1), batch.targets[0], found.manifest
    (plain, labels, _), (calibrated, _, manifest) = probabilities.values()
    temperature = manifest.training["calibration_temperature"]
    assert temperature != 1
    assert torch.equal(plain.argmax(dim=1), calibrated.argmax(dim=1))
    assert float(F.nll_loss(calibrated, labels)) < float(F.nll_loss(plain, labels))
    assert manifest.training["validation_loss"] == pytest.approx(float(F.nll_loss(calibrated, labels)), abs=0.01)
