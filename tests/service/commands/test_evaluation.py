from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.registry import Registry
from service.cli import app
from tests import checkpoints


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.registry(tmp_path_factory.mktemp("registry"))


def evaluate(registry: Path, *arguments: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--registry", str(registry)])
    return found.exit_code, " ".join(found.output.split())


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    file = tmp_path / "labelled.tsv"
    file.write_text("1\t정말 재미있는 영화였어요\n0\t돈이 아깝다\n" * 4)
    return file


def test_a_published_model_is_measured_by_name_and_the_scores_are_written(
    registry: Path, labelled: Path, tmp_path: Path
) -> None:
    code, output = evaluate(
        registry, "classifier@1", "--data", labelled, "--columns", "label,text",
        "--labels", "0=negative, 1=positive", "--json", tmp_path / "scores.json", "--precision", "float32",
    )  # fmt: skip
    assert code == 0, output
    assert "classifier@1, made to classify" in output
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["precision"] == "float32"
    assert written["scores"]["texts"] == 8


def test_directions_beams_and_length_penalty_reach_the_engine(registry: Path, tmp_path: Path) -> None:
    file, scores = tmp_path / "a.tsv", tmp_path / "scores.json"
    file.write_text("I am tired.\tJe suis fatigué.\n")
    code, output = evaluate(
        registry, "translator", "--data", file, "--columns", "en,fr", "--pair", "en-fr", "--pair", "fr-en",
        "--beams", 2, "--length-penalty", 0.6, "--json", scores,
    )  # fmt: skip
    assert code == 0, output
    assert "beams 2, length penalty 0.6" in output
    assert json.loads(scores.read_text())["scores"]["fr-en"]["length_penalty"] == 0.6


def test_a_file_with_a_header_needs_no_columns(registry: Path, tmp_path: Path) -> None:
    reviews = tmp_path / "reviews.csv"
    reviews.write_text("id;Review;sentiment\n1;정말 재미있는 영화였어요;positive\n2;돈이 아깝다;negative\n")
    code, output = evaluate(registry, "classifier", "--data", reviews, "--json", tmp_path / "scores.json")
    assert code == 0, output
    assert "columns, with what the file calls them: text (Review), label (sentiment)" in output
    assert json.loads((tmp_path / "scores.json").read_text())["scores"]["texts"] == 2
    sentences = tmp_path / "sentences.tsv"
    sentences.write_text("english\tfrench\nI am tired.\tJe suis fatigué.\n")
    code, output = evaluate(registry, "translator", "--data", sentences, "--json", tmp_path / "scores.json")
    assert code == 0, output
    assert "en (english)" in output
    assert json.loads((tmp_path / "scores.json").read_text())["scores"].keys() == {"fr-en", "en-fr"}
    code, output = evaluate(registry, "generator", "--data", reviews)
    assert code == 0, output
    assert "text (Review)" in output


def test_few_shots_and_their_words(registry: Path, labelled: Path) -> None:
    code, output = evaluate(
        registry, "generator", "--data", labelled, "--columns", "label,text", "--labels", "0=negative,1=positive",
        "--few-shot", "0,1", "--template", "<rating:{label}>{text}", "--channel", "--pool", 2,
        "--verbalizers", "negative=1,positive=9",
    )  # fmt: skip
    assert code == 0, output
    assert "6 texts" in output


def test_steering_names_the_judge_like_any_checkpoint(registry: Path) -> None:
    code, output = evaluate(
        registry, "generator", "--judge", "classifier@1", "--prompts", "<rating:1>=negative,<rating:9>=positive",
        "--samples", 3, "--max-new-tokens", 6, "--top-k", 5, "--temperature", 0.7,
    )  # fmt: skip
    assert code == 0, output
    assert "6 samples, judged by classifier@1" in output
    assert "temperature 0.7, top_k 5, max_new_tokens 6, seed 1" in output


def test_a_robustness_suite_is_run_in_the_directions_asked_for(registry: Path, tmp_path: Path) -> None:
    for direction in ("fr-en", "en-fr"):
        (tmp_path / f"{direction}.yaml").write_text('empty: [{source: "🙂", copied: ["🙂"]}]', encoding="utf-8")
    scores = tmp_path / "scores.json"
    code, output = evaluate(
        registry, "translator", "--suite", tmp_path, "--pair", "fr-en", "--beams", 2, "--json", scores
    )
    assert code == 0, output
    assert "fr → en 1 cases" in output
    assert "en → fr" not in output
    written = json.loads(scores.read_text(encoding="utf-8"))["scores"]
    assert written["beams"] == 2
    assert written["fr-en"]["of"] == {"right": 1, "loops": 1, "invents": 1, "copied": 1}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nobody"], "no model 'nobody'"),
        (["generator", "--data", "missing.txt"], "missing.txt: no such file"),
        (["generator"], "say what to measure on: --data FILE"),
        (["generator", "--judge", "classifier"], "--judge and --prompts belong together"),
        (["generator", "--judge", "classifier", "--prompts", "x"], "--prompts: 'x' is not of the form name=value"),
        (["generator", "--judge", "classifier", "--prompts", "x=y", "--few-shot", "1"], "ask for one at a time"),
        (["translator", "--suite", "cases", "--data", "a.tsv"], "--suite and --data are two evaluations"),
        (["translator", "--suite", "cases"], "cases does not exist"),
        (["classifier", "--suite", "cases"], "a robustness suite is of a translator"),
        (["generator", "--few-shot", "some"], "--few-shot 'some' is not of the form 0,1,4"),
        (["generator", "--few-shot", "1", "--template", "{text}"], "must have {text} and {label}"),
        (["translator", "--pair", "fr", "--data", "a.tsv"], "--pair 'fr' is not of the form source-target"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(registry: Path, arguments: list[str], reason: str) -> None:
    code, output = evaluate(registry, *arguments)
    assert code == 2
    assert reason in output
    assert "Traceback" not in output


def test_what_is_kept_beside_a_base_is_measured_by_name_and_from_its_folder(registry: Path, tmp_path: Path) -> None:
    base = Registry(registry).load("generator@1")
    checkpoints.beside(tmp_path / "beside", base, "generator@1", "poems")
    Registry(registry).publish("poems", tmp_path / "beside")
    (tmp_path / "texts.txt").write_text("정말 재미있는 영화였어요\n")
    scores = []
    for which in ("poems", tmp_path / "beside", "generator"):
        arguments = ("--data", tmp_path / "texts.txt", "--json", tmp_path / "scores.json", "--precision", "float32")
        code, output = evaluate(registry, which, *arguments)
        assert code == 0, output
        scores.append(json.loads((tmp_path / "scores.json").read_text())["scores"]["bits_per_byte"])
    assert scores[0] == scores[1] != scores[2]
    code, output = evaluate(tmp_path / "empty", tmp_path / "beside", "--data", tmp_path / "texts.txt")
    assert code == 2
    assert "its base generator@1 is missing: no model 'generator@1'" in output
