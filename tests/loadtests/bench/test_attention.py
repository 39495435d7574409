from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadtests.bench import attention
from tests import checkpoints

TRAINING = {"parameters": 1234567, "minutes": 2.0, "scored_tokens": 60_000}
ROWS = "Je suis fatigué.\tI am tired.\nOù est la gare ?\tWhere is the station?\n" * 3


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("attention")
    checkpoints.recurrent(root / "fixed", attention="none")
    checkpoints.recurrent(root / "general", attention="general")
    checkpoints.translator(root / "transformer")
    for directory in root.iterdir():
        file = directory / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "name": directory.name, "training": TRAINING}))
    return [root / name for name in ("fixed", "general", "transformer")]


def run(directories: list[Path], tmp_path: Path, console: Console, **options: Any) -> dict[str, Any]:
    data = tmp_path / "sentences.tsv"
    data.write_text(ROWS, encoding="utf-8")
    given = {"columns": ["fr", "en"], "sentence": "Où est la gare ?", "limit": 4, "rounds": 2, "precision": "float32"}
    return attention.run(directories, data=data, console=console, **{**given, **options})


def test_translators_are_measured_both_ways_printed_and_drawn(
    directories: list[Path], tmp_path: Path, console: Console
) -> None:
    found = run(directories, tmp_path, console, plots=tmp_path / "plots")["checkpoints"]
    assert [each["name"] for each in found] == ["fixed", "general", "transformer"]
    for each in found:
        assert each["trained_tokens_per_second"] == 500
        assert {pair: scores["sentences"] for pair, scores in each["bleu"].items()} == {"fr-en": 4, "en-fr": 4}
        assert {name: one["sentences"] for name, one in each["by_source_words"]["fr-en"].items()} == {
            "1-4": 2,
            "5-6": 2,
        }
        assert set(each["sentences_per_second"]) == {"greedy", "beam 4"}
        assert min(each["sentences_per_second"].values()) > 0
    for name in ("bleu-by-length.png", "alignments.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")
    printed = console.export_text()
    assert "sentences.tsv, both ways, float32" in printed
    assert "1,234,567" in printed


def test_where_words_look_is_drawn_of_those_that_look(
    directories: list[Path], tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[attention.Found] = []
    monkeypatch.setattr(attention, "draw_alignments", lambda found, path: drawn.extend(found))
    run(directories, tmp_path, console, plots=tmp_path)
    fixed, *others = drawn
    assert fixed.alignment is None
    for each in others:
        assert each.alignment is not None
        assert "".join(each.alignment.source_tokens) == "Où est la gare ?"
        assert len(each.alignment.weights) == len(each.alignment.target_tokens)


def test_what_cannot_be_compared_is_refused_in_words(directories: list[Path], tmp_path: Path, console: Console) -> None:
    with pytest.raises(ValueError, match="--columns is fr: two languages are expected"):
        run(directories, tmp_path, console, columns=["fr"])
    with pytest.raises(ValueError, match="general@1 does not translate en-ko"):
        run(directories[1:], tmp_path, console, columns=["ko", "en"])
    checkpoints.translator(tmp_path / "untold")
    with pytest.raises(ValueError, match="translator@1 says nothing of its training"):
        run([tmp_path / "untold"], tmp_path, console)
