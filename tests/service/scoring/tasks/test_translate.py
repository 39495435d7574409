from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from models.checkpoint import load
from models.training.card import render
from service.messages import Decoding
from service.scoring.answers import EngineAnswers
from service.scoring.measuring import Options, measure
from service.scoring.tasks.translate import robustness_scores, suite_for, tallies
from tests.service.scoring.conftest import shown

CASES = """
greeting: [{source: "Bonjour", accept: "Hello"}]
empty: [{source: "  "}, {source: "..."}]
copied: [{source: "Il coûte [red]249[/red].", copied: ["249"]}]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    for direction in ("fr-en", "en-fr", "en-ko"):
        (folder / f"{direction}.yaml").write_text(CASES, encoding="utf-8")
    return folder


def test_the_directions_that_the_checkpoint_has_are_run(made: dict[str, Path], suite: Path) -> None:
    checkpoint = load(made["translator"])
    assert list(suite_for(checkpoint, suite)) == [("en", "fr"), ("fr", "en")]
    assert list(suite_for(checkpoint, suite, [("fr", "en")])) == [("fr", "en")]


def test_what_cannot_be_run_is_said(made: dict[str, Path], suite: Path) -> None:
    translator = load(made["translator"])
    with pytest.raises(ValueError, match="translator@1 does not have en-ko; it has fr-en, en-fr, ko-en"):
        suite_for(translator, suite, [("en", "ko")])
    with pytest.raises(ValueError, match="cases does not have ko-en; it has en-fr, en-ko, fr-en"):
        suite_for(translator, suite, [("ko", "en")])
    with pytest.raises(ValueError, match="has cases for en-ko, the checkpoint translates fr-en, en-fr, ko-en"):
        suite_for(translator, suite / "en-ko.yaml")
    with pytest.raises(ValueError, match="a robustness suite is of a translator; classifier is made to classify"):
        suite_for(load(made["classifier"]), suite)


def test_an_empty_text_is_refused_and_the_others_are_answered(made: dict[str, Path], suite: Path) -> None:
    checkpoint = load(made["translator"])
    with EngineAnswers(checkpoint, Console(quiet=True)) as answers:
        [tally] = tallies(answers, suite_for(checkpoint, suite / "fr-en.yaml"), Decoding()).values()
    outputs = [verdict.output for verdict in tally.verdicts]
    assert outputs[1] is None
    assert all(isinstance(output, str) for output in (outputs[0], *outputs[2:]))
    assert tally.verdicts[1].right


def test_evaluate_shows_each_direction_and_what_is_wrong(made: dict[str, Path], suite: Path, console: Console) -> None:
    options = Options(suite=suite, precision="float32", decoding=Decoding(), worst=4)
    found = measure(made["translator"], options, console)
    output = shown(console)
    assert "fr → en  4 cases" in output
    assert "together  8 cases" in output
    assert "Il coûte [red]249[/red]." in output  # as it is, no markup
    assert found["scores"]["beams"] == 1
    assert found["scores"]["all"]["cases"] == 8
    assert [each["kind"] for each in found["scores"]["fr-en"]["outputs"]] == ["greeting", "empty", "empty", "copied"]


def test_sources_that_the_training_text_has_are_told_apart_where_it_is_at_hand(
    of_recipe: Callable[..., Path], data: Path, suite: Path, console: Console
) -> None:
    with (data / "train.tsv").open("a") as file:
        file.write("bonjour !\thello\n")
    options = Options(suite=suite / "fr-en.yaml", precision="float32", decoding=Decoding(), training_data=data)
    found = measure(of_recipe("translator"), options, console)["scores"]["fr-en"]
    assert found["of"]["right_unseen"] == 1  # the price: the dots have no letter, the greeting was read
    assert "unseen  " in shown(console)
    alone = measure(of_recipe("translator"), dataclasses.replace(options, training_data=None), console)
    assert "right_unseen" not in alone["scores"]["fr-en"]


def test_scores_for_a_manifest_are_of_each_beam_width_and_stand_on_the_card(
    of_recipe: Callable[..., Path], suite: Path
) -> None:
    directory = of_recipe("translator", beams=[1, 2])
    scores = robustness_scores(directory, suite, Console(quiet=True))
    assert list(scores) == [
        "robustness en-fr", "robustness fr-en", "robustness en-fr, beam 2", "robustness fr-en, beam 2",
    ]  # fmt: skip
    assert scores["robustness fr-en"]["cases"] == 4
    checkpoint = load(directory)
    manifest = dataclasses.replace(checkpoint.manifest, scores={"test fr-en": {"bleu": 3.0}, **scores})
    card = render(manifest, checkpoint.config, curves=False)
    assert "| robustness fr-en, beam 2 |" in card.split("## Robustness")[1].split("\n## ")[0]
    assert "robustness" not in card.split("## Scores")[1].split("\n## ")[0]
