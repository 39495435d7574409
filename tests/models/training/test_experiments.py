"""Runs that an MLflow store is told of: a SQLite file, which needs no server."""

import json
import socket
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.training import experiments, run, trainer
from models.training.experiments import Experiment, flattened
from models.training.loading import read_recipe
from models.training.run import Job
from tests import tiny_recipes as tiny
from tests.models.training.small import log

needs_mlflow = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("mlflow", "sqlalchemy", "alembic")),
    reason='mlflow-skinny, sqlalchemy or alembic is missing: pip install -e ".[tracking]"',
)


@pytest.fixture
def store(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/store/mlflow.db"


def train(recipe: Path, data: Path, track: str, said: list[str] | None = None) -> Path:
    job = Job(recipe, data, data.parent / "runs", "nowhere", track=track)
    return run.train(job, [].append if said is None else said.append).checkpoint


def runs_of(store: str) -> list:
    client = client_of(store)
    found = client.get_experiment_by_name("triptych")
    return client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])


def client_of(store: str):
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=store, registry_uri=store)


def history(store: str, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in client_of(store).get_metric_history(run_id, key)]


@needs_mlflow
def test_a_run_has_its_recipe_its_measures_its_samples_and_its_manifest(write_recipe, recipes, data, store) -> None:
    said: list[str] = []
    made = train(write_recipe(recipes["translator"]), data, store, said)
    (found,) = runs_of(store)
    assert (found.info.run_name, found.info.status) == ("translator", "FINISHED")
    assert found.data.params["training.steps"] == "12"
    assert found.data.params["model.encoder_layers"] == "1"
    assert json.loads(found.data.params["corpora.0.directions"]) == ["fr-en", "en-fr"]
    entries = log(made.parent)
    for measure in ("loss", "accuracy", "bleu"):
        assert history(store, found.info.run_id, f"validation/{measure}") == [(e["step"], e[measure]) for e in entries]
    assert [step for step, _ in history(store, found.info.run_id, "training/loss")] == list(range(1, 13))
    folder = Path(found.info.artifact_uri.removeprefix("file://"))
    assert folder.is_relative_to(Path(store.removeprefix("sqlite:///")).parent)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["curves.png", "manifest.json", "samples/step-000000006.md", "samples/step-000000012.md"]
    assert (folder / "manifest.json").read_text() == (made / "manifest.json").read_text()
    assert "| source | expected | answer |" in (folder / "samples/step-000000012.md").read_text()
    assert not any("MLflow" in line for line in said)


@needs_mlflow
def test_a_run_that_goes_on_is_the_same_run_and_a_new_one_another(
    write_recipe, recipes, data, store, monkeypatch
) -> None:
    recipe = write_recipe(recipes["generator"], save_every=0)
    original = trainer.Trainer._step

    def stepping(self, *arguments):
        self._stop = self._stop or self.progress.step == 7
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "_step", stepping)
        with pytest.raises(trainer.Interrupted):
            train(recipe, data, store)
    (stopped,) = runs_of(store)
    assert stopped.info.status == "KILLED"
    train(recipe, data, store)
    (found,) = runs_of(store)
    assert (found.info.run_id, found.info.status) == (stopped.info.run_id, "FINISHED")
    assert [step for step, _ in history(store, found.info.run_id, "training/loss")] == list(range(1, 13))
    train(write_recipe({**recipes["generator"], "name": "other"}), data, store)
    assert [each.info.run_name for each in runs_of(store)] == ["generator", "other"]


@needs_mlflow
def test_steps_that_are_made_again_after_a_kill_are_told_once(tmp_path, store) -> None:
    def sitting(first: int, last: int) -> None:
        """It tells, and nobody ends it."""
        experiment = Experiment(store, read_recipe(tiny.GENERATOR), tmp_path, print)
        for step in range(first, last + 1):
            experiment.steps(step, {"loss": 10.0 - step})
        experiment.validation(last, {"loss": 1.0}, {"epoch": 1, "tokens": 100 * last}, [])

    sitting(1, 5)
    sitting(4, 7)
    (found,) = runs_of(store)
    assert history(store, found.info.run_id, "training/loss") == [(step, 10.0 - step) for step in range(1, 8)]
    assert history(store, found.info.run_id, "progress/tokens") == [(5, 500), (7, 700)]


@needs_mlflow
def test_a_failure_is_the_status_of_the_run(tmp_path, store) -> None:
    recipe = read_recipe(tiny.GENERATOR)
    with pytest.raises(ZeroDivisionError), Experiment(store, recipe, tmp_path, print):
        raise ZeroDivisionError
    assert [each.info.status for each in runs_of(store)] == ["FAILED"]


@needs_mlflow
def test_a_store_that_does_not_answer_is_said_once_and_ends_no_training(
    write_recipe, recipes, data, monkeypatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        uri = f"http://user:secret@127.0.0.1:{nobody.getsockname()[1]}"
        said: list[str] = []
        began = time.monotonic()
        made = train(write_recipe(recipes["generator"], validate_every=3), data, uri, said)
    assert (made / "manifest.json").is_file()
    (line,) = [line for line in said if "MLflow" in line]
    assert line.startswith("generator: MLflow at http://127.0.0.1:")
    assert line.endswith("; the training goes on")
    assert "secret" not in line
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("uri", ["nonsense://here", "sqlite:////proc/nowhere/mlflow.db"])
@needs_mlflow
def test_a_store_that_cannot_be_is_said_and_ends_no_training(tmp_path, uri) -> None:
    said: list[str] = []
    with Experiment(uri, read_recipe(tiny.GENERATOR), tmp_path, said.append) as sink:
        sink.steps(1, {"loss": 1.0})
        sink.validation(1, {"loss": 1.0, "accuracy": 0.0}, {}, ())
    (line,) = said
    assert line.startswith(f"generator: MLflow at {uri}: ")


@needs_mlflow
def test_what_could_not_be_sent_is_sent_when_the_store_is_back(tmp_path, store, monkeypatch) -> None:
    monkeypatch.setattr(experiments, "_SECONDS_BETWEEN_TRIES", 0.0)
    away = True
    original = Experiment._open

    def opening(self):
        if away:
            raise OSError("no route")
        original(self)

    monkeypatch.setattr(Experiment, "_open", opening)
    said: list[str] = []
    with Experiment(store, read_recipe(tiny.GENERATOR), tmp_path, said.append) as sink:
        for step in (1, 2, 3):
            sink.steps(step, {"loss": 1.0 / step})
            sink.validation(step, {"loss": 1.0, "accuracy": 0.5}, {}, ())
            away = step < 2
    (found,) = runs_of(store)
    assert [step for step, _ in history(store, found.info.run_id, "training/loss")] == [1, 2, 3]
    assert said == [f"generator: MLflow at {store}: no route; the training goes on"]


def test_without_the_package_it_is_said_once_with_the_way_to_get_it(write_recipe, recipes, data, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    said: list[str] = []
    train(write_recipe(recipes["generator"]), data, "sqlite:///nowhere.db", said)
    assert [line for line in said if "mlflow" in line] == [
        'generator: nothing is tracked: mlflow is missing; pip install -e ".[tracking]"; the training goes on'
    ]


def test_without_a_store_nothing_of_it_is_loaded_or_written(write_recipe, recipes, data, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    made = train(write_recipe(recipes["generator"]), data, "")
    assert not any(name.split(".")[0] == "mlflow" for name in sys.modules)
    assert not (made.parent / experiments.RUN).exists()


def test_fields_are_flattened_as_set_has_them() -> None:
    values = {"a": {"b": 1, "<c>": "x" * 600}, "d": [{"e": (1, 2)}], "f": None, "g": (), "h": False}
    assert flattened(values) == {"a.b": "1", "a._c_": "x" * 500, "d.0.e": "[1, 2]", "h": "False"}


def test_a_file_is_the_same_one_for_every_process(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert experiments.absolute("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert experiments.absolute("http://host:5000") == "http://host:5000"
