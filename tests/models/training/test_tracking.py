import json
import sys

import pytest

from models.checkpoint import CURVES
from models.training.evaluation.validation import Shown
from models.training.tracking import EVENTS, METRICS, SAMPLES, STEPS, Sink, Tracking

SAMPLES_SAID = (Shown("le chat", "the cat", "the | dog"),)


def step(tracking: Tracking, number: int) -> None:
    tracking.steps(number, {"loss": 5.0 / number, "learning_rate": 0.1, "tokens_per_second": 100.0})


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def scalars(folder, tag: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / EVENTS))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def texts(folder, tag: str) -> str:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / EVENTS))
    events.Reload()
    return "".join(part.decode() for event in events.Tensors(tag) for part in event.tensor_proto.string_val)


def quiet(line: str) -> None:
    pass


def test_steps_and_validations_are_logged_drawn_and_shown_in_tensorboard(tmp_path):
    tracking = Tracking(tmp_path, "translator", step=0, say=quiet)
    step(tracking, 1)
    step(tracking, 2)
    tracking.validation(2, {"loss": 3.0, "accuracy": 0.5, "bleu": 7.0}, {"tokens": 12}, SAMPLES_SAID)
    tracking.close()
    assert lines(tmp_path / METRICS) == [{"step": 2, "loss": 3.0, "accuracy": 0.5, "bleu": 7.0, "tokens": 12}]
    assert [entry["step"] for entry in lines(tmp_path / STEPS)] == [1, 2]
    assert (tmp_path / CURVES).read_bytes().startswith(b"\x89PNG")
    assert scalars(tmp_path, "training/loss") == [(1, 5.0), (2, 2.5)]
    assert scalars(tmp_path, "validation/accuracy") == [(2, 0.5)]
    assert scalars(tmp_path, "validation/bleu") == [(2, 7.0)]
    said = [{"source": "le chat", "expected": "the cat", "answer": "the | dog"}]
    assert lines(tmp_path / SAMPLES) == [{"step": 2, "samples": said}]
    assert "| le chat | the cat | the \\| dog |" in texts(tmp_path, "samples/text_summary")
    assert scalars(tmp_path, "training/tokens_per_second") == [(1, 100), (2, 100)]


def test_a_run_that_goes_on_drops_what_was_written_after_its_state(tmp_path):
    first = Tracking(tmp_path, "name", step=0, say=quiet)
    for number in (1, 2, 3, 4):
        step(first, number)
        first.validation(number, {"loss": float(number), "accuracy": 0.0}, {}, SAMPLES_SAID)
    first.close()
    with (tmp_path / STEPS).open("a") as file:
        file.write('{"step": 5, "lo')  # a kill in the middle of a line
    second = Tracking(tmp_path, "name", step=2, say=quiet)
    for number in (3, 4, 5):
        step(second, number)
        second.validation(number, {"loss": 10.0 * number, "accuracy": 0.0}, {}, SAMPLES_SAID)
    second.close()
    assert [(e["step"], e["loss"]) for e in lines(tmp_path / METRICS)] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30),
        (4, 40),
        (5, 50),
    ]
    assert [entry["step"] for entry in lines(tmp_path / STEPS)] == [1, 2, 3, 4, 5]
    assert [entry["step"] for entry in lines(tmp_path / SAMPLES)] == [1, 2, 3, 4, 5]
    assert scalars(tmp_path, "validation/loss") == [(1, 1.0), (2, 2.0), (3, 30), (4, 40), (5, 50)]


@pytest.mark.parametrize(
    ("package", "what"), [("tensorboard", "no TensorBoard files"), ("matplotlib", "no curves.png")]
)
def test_a_missing_package_is_said_once_with_the_way_to_get_it(tmp_path, monkeypatch, package, what):
    for name in [n for n in sys.modules if n.split(".")[0] == package or n.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    said: list[str] = []
    tracking = Tracking(tmp_path, "name", step=0, say=said.append)
    step(tracking, 1)
    tracking.close()
    tracking.close()
    assert len(said) == 1
    assert what in said[0]
    assert f"{package} is missing; pip install -e" in said[0]


class Heard(Sink):
    def __init__(self) -> None:
        self.events: list[tuple] = []

    def steps(self, step, values):
        self.events.append(("steps", step, dict(values)))

    def validation(self, step, measures, counters, samples):
        self.events.append(("validation", step, dict(measures), dict(counters), samples))

    def close(self):
        self.events.append(("close",))


def test_other_sinks_are_told_the_same_and_closed_by_their_owners(tmp_path):
    heard = Heard()
    tracking = Tracking(tmp_path, "name", step=0, say=quiet, sinks=[heard])
    step(tracking, 1)
    tracking.validation(1, {"loss": 1.0, "accuracy": 0.0}, {"epoch": 0}, SAMPLES_SAID)
    tracking.close()
    assert heard.events == [
        ("steps", 1, {"loss": 5.0, "learning_rate": 0.1, "tokens_per_second": 100.0}),
        ("validation", 1, {"loss": 1.0, "accuracy": 0.0}, {"epoch": 0}, SAMPLES_SAID),
    ]
