"""The command line as a user runs it, from a recipe to a published checkpoint and back. `serve` is in tests/e2e."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from models.checkpoint import read_manifest, write_manifest
from models.training.run import Job, TrainingResult
from models.training.state import Measurement
from service.cli import app
from tests import checkpoints, tiny_recipes


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_DATA", str(tiny_recipes.write_data(tmp_path / "data")))
    return tmp_path


def test_a_recipe_becomes_a_scored_version_that_can_be_rolled_back(folder: Path) -> None:
    recipe = tiny_recipes.write_recipe(folder, tiny_recipes.RECIPES["classifier"])
    trained = run("train", recipe, "--registry", "registry")
    assert trained.exit_code == 0, trained.output
    assert f"triptych publish runs/classifier/checkpoint --data {folder}/data --registry registry\n" in trained.output
    for version in (1, 2):
        published = run("publish", "runs/classifier/checkpoint", "--registry", "registry")
        assert published.exit_code == 0, published.output
        assert f"classifier@{version}" in published.output
        if version == 2:
            assert "classifier@1 is current: scoring it on the same texts" in published.output
            assert "Compared with classifier@1: 1 score\n" in published.output
    with (folder / "data" / "labelled.test.tsv").open("w") as file:
        file.write("1\t최고의 영화\n")
    changed = run("publish", "runs/classifier/checkpoint", "--registry", "registry")
    assert changed.exit_code == 2
    assert "labelled.test had 16 texts, now 1" in " ".join(changed.output.split())
    listed = run("registry", "list", "--registry", "registry").output
    assert "classifier@1" in listed
    assert "labelled.test: accuracy " in listed
    assert "{" not in listed
    assert run("registry", "rollback", "classifier", "--registry", "registry").output == "classifier@1 is current\n"


@pytest.mark.parametrize("environment", [False, True])
def test_a_training_is_tracked_where_it_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, environment: bool
) -> None:
    jobs: list[Job] = []

    def train(job: Job, *others: object) -> TrainingResult:
        jobs.append(job)
        return TrainingResult(Path("checkpoint"), Measurement(1.0, 0.5, 1))

    monkeypatch.setattr("models.training.run.train", train)
    if environment:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    arguments = () if environment else ("--track", "sqlite:///mlflow.db")
    assert run("train", "recipe.yaml", *arguments).exit_code == 0
    assert [job.track for job in jobs] == ["sqlite:///other.db" if environment else "sqlite:///mlflow.db"]


@pytest.fixture
def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint that nobody published yet."""
    monkeypatch.setenv("TRIPTYCH_CACHE", str(folder / "cache"))
    manifest = checkpoints.classifier(folder / "made").manifest
    write_manifest(folder / "made", dataclasses.replace(manifest, version=0, licence="CC0-1.0"))
    return folder / "made"


def scores(folder: Path, accuracy: float) -> Path:
    path = folder / f"scores-{accuracy}.json"
    path.write_text(json.dumps({"reviews.test": {"accuracy": accuracy, "texts": 100}}))
    return path


@pytest.fixture(params=["directory", "file URL", "object store"])
def registry(request: pytest.FixtureRequest, folder: Path) -> str:
    roots = {
        "directory": "registry",
        "file URL": f"file://{folder}/registry",
        "object store": f"memory:/{folder}/models",
    }
    return roots[request.param]


def test_what_is_worse_is_refused_with_a_table_unless_forced(made: Path, folder: Path, registry: str) -> None:
    def publish(accuracy: float, *options: str) -> Result:
        return run("publish", made, "--scores", scores(folder, accuracy), "--registry", registry, *options)

    first = publish(0.9)
    assert first.exit_code == 0, first.output
    assert "Published as classifier@1" in first.output
    refused = publish(0.7)
    assert refused.exit_code == 2
    table = " ".join(refused.output.split())  # the measure stands below the test where the terminal is narrow
    assert re.search(r"reviews\.test: (accuracy )?0\.9 0\.7 <0\.001 worse", table), refused.output
    assert "[0.8256, 0.9448] [0.6042, 0.7811]" in table
    assert "Nothing was published; --force publishes it all the same" in refused.output.replace("\n", " ")
    passed = publish(0.88).output  # two of a hundred texts are chance
    assert "Compared with classifier@1: 1 score\n" in passed
    assert "[0.8019, 0.93]" in passed
    forced = publish(0.5, "--force", "--note", "a smaller one")
    assert forced.exit_code == 0, forced.output
    assert "Compared with classifier@2: 1 score, and was forced" in forced.output
    shown = run("registry", "show", "classifier", "--registry", registry).output
    for part in ("classifier@3 (current)", "forced: true", "note: a smaller one", "accuracy: 0.5", "sha256", "p: "):
        assert part in shown, part
    assert f"card: {registry.removeprefix('file://')}/classifier/3/README.md" in shown


def test_versions_are_listed_shown_rolled_back_and_collected(made: Path, folder: Path, registry: str) -> None:
    for accuracy in (0.7, 0.8, 0.9, 0.95):
        assert run("publish", made, "--scores", scores(folder, accuracy), "--registry", registry).exit_code == 0
    assert run("registry", "rollback", "classifier", "--registry", registry).output == "classifier@3 is current\n"
    back = run("registry", "rollback", "classifier", "--to", "1", "--registry", registry)
    assert back.output == "classifier@1 is current\n"
    lines = run("registry", "list", "--registry", registry).output.splitlines()
    assert lines[1].split()[:5] == ["classifier@1", "*", "reviews.test:", "accuracy", "0.7"]
    assert lines[1].split()[-1][:2] == "20"
    assert [line.split()[0] for line in lines[1:]] == [f"classifier@{version}" for version in (1, 2, 3, 4)]
    assert "accuracy: 0.9\n" in run("registry", "show", "classifier@3", "--registry", registry).output
    would = run("registry", "gc", "--keep", "1", "--dry-run", "--registry", registry).output
    assert "would remove classifier@2" in would
    assert "would be freed" in would
    done = run("registry", "gc", "classifier", "--keep", "1", "--registry", registry).output
    assert done == would.replace("would remove", "removed").replace("would be freed", "freed")
    assert "bytes" in done or "MB" in done
    left = run("registry", "list", "--registry", registry).output.splitlines()
    assert [line.split()[0] for line in left[1:]] == ["classifier@1", "classifier@4"]
    assert run("registry", "gc", "--keep", "1", "--registry", registry).output == "0 bytes freed\n"


def test_a_robustness_suite_is_scored_beside_the_other_tests(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_CACHE", str(folder / "cache"))
    manifest = checkpoints.translator(folder / "made").manifest
    write_manifest(folder / "made", dataclasses.replace(manifest, version=0, licence="CC0-1.0"))
    (folder / "fr-en.yaml").write_text('greeting: [{source: "Bonjour", accept: "Hello"}]\nempty: [{source: "..."}]')
    published = run(
        "publish", "made", "--scores", scores(folder, 0.9), "--suite", "fr-en.yaml", "--registry", "registry"
    )
    assert published.exit_code == 0, published.output
    kept = read_manifest(folder / "registry" / "translator" / "1").scores
    assert kept["reviews.test"]["accuracy"] == 0.9
    assert kept["robustness fr-en"]["cases"] == 2
    assert kept["robustness fr-en"]["of"] == {"right": 2, "greetings_and_capitals": 1, "loops": 2, "invents": 1}
    missing = run("publish", "made", "--scores", scores(folder, 0.9), "--suite", "en.yaml", "--registry", "registry")
    assert missing.exit_code == 2
    assert "en.yaml does not exist" in missing.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "expected measures by test"),
        ('{"test": {"accuracy": null}}', "accuracy of test is None, expected a number"),
        ('{"test": {"accuracy": "0.9"}}', "accuracy of test is '0.9', expected a number"),
        ('{"test": {"bleu": true, "signature": ""}}', "bleu of test is True, expected a number"),
        ('{"test": {"accuracy": NaN}}', "accuracy of test is nan, expected a number"),
        ('{"test": {"intervals": [1, 2]}}', "intervals of test is [1, 2], expected two numbers by measure"),
        ('{"test": {"intervals": {"bleu": [3, 2]}}}', "intervals of test is {'bleu': [3, 2]}, expected two numbers"),
    ],
)
def test_scores_that_are_none_are_refused(made: Path, folder: Path, content: str, said: str) -> None:
    (folder / "scores.json").write_text(content)
    done = run("publish", made, "--scores", "scores.json", "--registry", "registry")
    assert done.exit_code == 2
    assert said in done.output.replace("\n", "")
    assert not (folder / "registry").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "nowhere.yaml"), "nowhere.yaml: no such recipe"),
        (("publish", "nowhere"), "nowhere: no such checkpoint directory"),
        (("registry", "rollback", "nobody", "--registry", "registry"), "no model 'nobody'"),
        (("registry", "rollback", "nobody", "--to", "3", "--registry", "registry"), "no model 'nobody'"),
        (("registry", "show", "nobody@2", "--registry", "registry"), "no model 'nobody@2'"),
        (("registry", "gc", "nobody", "--registry", "registry"), "no model 'nobody'"),
        (("registry", "list", "--registry", "nowhere"), "no checkpoints in nowhere"),
        (("registry", "list", "--registry", "carrier://pigeon"), "carrier://pigeon: Protocol not known: carrier"),
        (("publish", "nowhere", "--registry", "carrier://pigeon"), "Protocol not known: carrier"),
        (("publish", "nowhere", "--tolerance", "much"), "--tolerance is 'much', expected a share such as 1% or 0.01"),
        (("publish", "nowhere", "--scores", "nowhere.json"), "No such file or directory: 'nowhere.json'"),
        (
            ("serve", "--config", "nowhere.yaml"),
            "the settings cannot be used: [Errno 2] No such file or directory: 'nowhere.yaml'",
        ),
    ],
)
def test_what_is_not_there_is_said_plainly(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.output.replace("\n", "")
    assert "Traceback" not in done.output


def test_without_a_data_folder_it_asks_for_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIPTYCH_DATA")
    done = run("train", "recipe.yaml")
    assert done.exit_code == 2
    assert "--data" in done.output
