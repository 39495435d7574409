from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from models.checkpoint import read_manifest, write_manifest
from models.registry import Registry
from models.training.evaluation.fewshot import Template
from service.messages import Classification, Decoding
from service.scoring.answers import Answers, EngineAnswers
from service.scoring.measuring import measure, measure_recipe
from service.scoring.options import JudgedPrompts, Options, Shots
from tests.service.scoring.conftest import shown

LABELS = {"0": "negative", "1": "positive"}
LABELLED = {"columns": ("label", "text"), "labels": LABELS, "precision": "float32"}


def test_a_translator_is_measured_in_every_direction_the_columns_have(
    made: dict[str, Path], data: Path, console: Console
) -> None:
    options = Options(data=data / "test.tsv", columns=("fr", "en"), precision="float32")
    found = measure(made["translator"], options, console)
    assert found["checkpoint"] == "translator@1"
    assert found["precision"] == "float32"
    assert found["scores"].keys() == {"fr-en", "en-fr"}
    french = found["scores"]["fr-en"]
    assert (french["sentences"], french["refused"], french["beams"]) == (4, 0, 4)
    assert sum(each["sentences"] for each in french["by_source_words"].values()) == 4
    assert len(french["worst"]) == 4
    for part in ("fr → en", "nrefs:1|case:mixed|eff:yes|nc:6", "By the length of the source", "The worst sentences"):
        assert part in shown(console)


def test_one_direction_can_be_asked_for_and_greedily(made: dict[str, Path], data: Path, console: Console) -> None:
    options = Options(
        data=data / "test.tsv", columns=("fr", "en"), pairs=(("en", "fr"),), decoding=Decoding(), worst=0, limit=2
    )
    found = measure(made["translator"], options, console)
    assert found["scores"].keys() == {"en-fr"}
    assert found["scores"]["en-fr"]["sentences"] == 2
    assert "greedy" in shown(console)


def test_a_direction_the_translator_lacks_is_refused(made: dict[str, Path], data: Path, console: Console) -> None:
    options = Options(data=data / "test.tsv", columns=("fr", "en"), pairs=(("fr", "ko"),))
    with pytest.raises(ValueError, match="does not translate fr-ko; it translates fr-en, en-fr, ko-en"):
        measure(made["translator"], options, console)
    with pytest.raises(ValueError, match="say which way to translate with --pair"):
        measure(made["translator"], Options(data=data / "test.tsv", columns=("a", "b")), console)


def test_a_sentence_too_long_is_in_no_score_but_counted(
    made: dict[str, Path], tmp_path: Path, console: Console
) -> None:
    file = tmp_path / "long.tsv"
    file.write_text("Je suis fatigué.\tI am tired.\n" + "x" * 300 + "\tlong\n")
    options = Options(data=file, columns=("fr", "en"), pairs=(("fr", "en"),))
    found = measure(made["translator"], options, console)["scores"]["fr-en"]
    assert (found["sentences"], found["refused"]) == (1, 1)
    assert "1 texts are too long for the model and in no score" in shown(console)


def test_a_classifier_is_measured_with_its_confusions_and_its_confidence(
    made: dict[str, Path], data: Path, console: Console
) -> None:
    found = measure(made["classifier"], Options(data=data / "labelled.test.tsv", **LABELLED), console)["scores"]
    assert found["texts"] == 16
    assert sum(sum(row.values()) for row in found["confusion"].values()) == 16
    assert sum(each["texts"] for each in found["reliability"]) == 16
    assert len(found["reliability"]) == 15
    right = sum(found["confusion"][label].get(label, 0) for label in found["confusion"])
    assert found["accuracy"] == right / 16
    for part in ("macro F1", "Confusion", "Reliability", "95 % sure"):
        assert part in shown(console)


def test_a_classifier_reads_pairs_where_the_file_has_them(
    made: dict[str, Path], tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Sequence[str], Sequence[str | None]]] = []
    classify = EngineAnswers.classifications

    def listening(self: EngineAnswers, texts: Sequence[str], pairs: Sequence[str | None]) -> Answers[Classification]:
        asked.append((texts, pairs))
        return classify(self, texts, pairs)

    monkeypatch.setattr(EngineAnswers, "classifications", listening)
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"text": "좋다", "pair": "싫다", "label": 1}\n{"text": "좋다", "pair": "좋다", "label": 0}\n')
    options = Options(data=file, columns=("text", "pair", "label"), labels=LABELS)
    assert measure(made["classifier"], options, console)["scores"]["texts"] == 2
    assert asked == [(["좋다", "좋다"], ["싫다", "좋다"])]


def test_rows_of_other_labels_are_counted(made: dict[str, Path], data: Path, console: Console) -> None:
    options = Options(data=data / "labelled.test.tsv", columns=("label", "text"), labels={"1": "positive"})
    found = measure(made["classifier"], options, console)["scores"]
    assert (found["texts"], found["other_labels"]) == (8, 8)
    assert "8 rows have none of the labels: left out" in shown(console)


def test_a_generator_is_measured_on_plain_text_and_after_prompts(
    made: dict[str, Path], tmp_path: Path, console: Console
) -> None:
    plain, rated = tmp_path / "texts.txt", tmp_path / "rated.tsv"
    plain.write_text("정말 재미있는 영화였어요\n돈이 아깝다\n")
    rated.write_text("9\t정말 재미있는 영화였어요\n1\t돈이 아깝다\n")
    first = measure(made["generator"], Options(data=plain, precision="float32"), console)["scores"]
    assert first["texts"] == first["windows"] == 2
    assert first["bytes"] == sum(len(line.encode()) for line in plain.read_text().splitlines())
    assert "bits per byte" in shown(console)
    options = Options(data=rated, columns=("rating", "text"), precision="float32", prompt="<rating:{rating}>")
    steered = measure(made["generator"], options, console)["scores"]
    assert steered["tokens"] == first["tokens"]
    assert steered["nats"] != first["nats"]


def test_few_shot_draws_from_the_head_which_is_not_scored(made: dict[str, Path], data: Path, console: Console) -> None:
    shots = Shots(counts=(0, 2), template=Template("{text} → {label}"), words={"positive": "좋다"}, pool=6)
    options = Options(data=data / "labelled.test.tsv", shots=shots, **LABELLED)
    found = measure(made["generator"], options, console)["scores"]
    assert found.keys() == {"0", "2"}
    assert {each["texts"] for each in found.values()} == {10}
    assert {each["majority"] for each in found.values()} == {0.6}
    text = shown(console)
    assert "By the number of examples in the prompt" in text
    for each in found.values():
        low, high = each["intervals"]["accuracy"]
        assert low <= each["accuracy"] <= high
        assert each["intervals"].keys() == {"accuracy", "macro_f1"}
        assert f"[{low:.4g}, {high:.4g}]" in text


def test_few_shot_examples_may_come_from_a_file_of_their_own(
    made: dict[str, Path], data: Path, console: Console
) -> None:
    shots = Shots(
        counts=(1,),
        template=Template("<rating:{label}>{text}", channel=True),
        words={"negative": "1", "positive": "9"},
        examples=data / "labelled.tsv",
    )
    options = Options(data=data / "labelled.test.tsv", shots=shots, **LABELLED)
    assert measure(made["generator"], options, console)["scores"]["1"]["texts"] == 16
    assert "P(text | label)" in shown(console)


def test_few_shot_says_what_it_lacks(made: dict[str, Path], data: Path, console: Console) -> None:
    shots = Shots(counts=(0,), template=Template("{text} {label}"), words={})
    file = data / "labelled.test.tsv"
    with pytest.raises(ValueError, match="say what the labels are with --labels"):
        measure(made["generator"], Options(data=file, columns=("label", "text"), shots=shots), console)
    with pytest.raises(ValueError, match="all 16 rows are examples: give --examples FILE, or a smaller --pool"):
        measure(made["generator"], Options(data=file, shots=shots, **LABELLED), console)
    with pytest.raises(ValueError, match="few-shot evaluation is of a generator; classifier is made to classify"):
        measure(made["classifier"], Options(data=file, shots=shots, **LABELLED), console)


def steering(judge: Path, samples: int = 6, **decoding: object) -> JudgedPrompts:
    return JudgedPrompts(
        judge=judge,
        prompts={"<rating:1>": "negative", "<rating:9>": "positive"},
        samples=samples,
        decoding=Decoding(do_sample=True, seed=3, max_new_tokens=8, **decoding),
    )


def test_steering_is_the_share_of_samples_the_judge_labels_as_asked(made: dict[str, Path], console: Console) -> None:
    options = Options(steering=steering(made["classifier"]), precision="float32")
    found = measure(made["generator"], options, console)["scores"]
    each = found["prompts"]
    assert each.keys() == {"<rating:1>", "<rating:9>"}
    assert found["samples"] == 12
    assert found["agreement"] == pytest.approx(sum(prompt["agreement"] * 6 for prompt in each.values()) / 12, abs=1e-3)
    assert found["judge"] == "classifier@1"
    assert measure(made["generator"], options, console)["scores"] == found  # by the seed


def test_what_steering_cannot_do_is_refused(made: dict[str, Path], console: Console) -> None:
    with pytest.raises(ValueError, match="the judge translator@1 is made to translate, expected a classifier"):
        measure(made["generator"], Options(steering=steering(made["translator"])), console)
    bad = dataclasses.replace(steering(made["classifier"]), prompts={"x": "sad"})
    with pytest.raises(ValueError, match="classifier@1 has no label sad; it has negative, positive"):
        measure(made["generator"], Options(steering=bad), console)
    with pytest.raises(ValueError, match="no answer to '<rating:1>': temperature"):
        measure(made["generator"], Options(steering=steering(made["classifier"], temperature=-1.0)), console)


def test_a_pre_trained_encoder_guesses_masked_words(made: dict[str, Path], tmp_path: Path, console: Console) -> None:
    directory = tmp_path / "encoder"
    shutil.copytree(made["classifier"], directory)
    write_manifest(directory, dataclasses.replace(read_manifest(directory), task="pretrain", labels=()))
    (tmp_path / "texts.txt").write_text("정말 재미있는 영화였어요\n돈이 아깝다\n")
    found = measure(directory, Options(data=tmp_path / "texts.txt"), console)["scores"]
    assert found["texts"] == 2
    assert found["masked_word_perplexity"] > 1


def test_rows_that_cannot_be_read_are_said(made: dict[str, Path], tmp_path: Path, console: Console) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nnot json\n')
    measure(made["generator"], Options(data=tmp_path / "a.jsonl"), console)
    assert "1 rows cannot be read: left out" in shown(console)


def test_without_a_file_there_is_nothing_to_measure_on(made: dict[str, Path], console: Console) -> None:
    with pytest.raises(ValueError, match="--data FILE"):
        measure(made["generator"], Options(), console)


def test_the_limit_is_of_the_file_and_not_of_the_examples(made: dict[str, Path], data: Path, console: Console) -> None:
    shots = Shots(counts=(1,), template=Template("{text} {label}"), words={}, examples=data / "labelled.tsv")
    found = measure(
        made["generator"], Options(data=data / "labelled.test.tsv", shots=shots, limit=3, **LABELLED), console
    )
    assert found["scores"]["1"]["texts"] == 3
    assert "examples drawn from 160 rows" in shown(console)


def test_a_translator_of_one_direction_needs_no_other_word(
    made: dict[str, Path], tmp_path: Path, console: Console
) -> None:
    directory = tmp_path / "translator"
    shutil.copytree(made["translator"], directory)
    write_manifest(directory, dataclasses.replace(read_manifest(directory), language_pairs=(("fr", "en"),)))
    (tmp_path / "a.jsonl").write_text('{"fr": "Je suis fatigué.", "en": "I am tired."}\n')
    assert measure(directory, Options(data=tmp_path / "a.jsonl"), console)["scores"].keys() == {"fr-en"}


def test_every_score_has_an_interval_and_the_far_sentences_have_their_own(
    of_recipe: Callable[..., Path], data: Path, tmp_path: Path, console: Console
) -> None:
    with (data / "test.tsv").open("a") as file:
        file.write("je suis fatigué\tI am tired\n")
    options = Options(data=data / "test.tsv", columns=("fr", "en"), pairs=(("fr", "en"),), precision="float32")
    found = measure(of_recipe("translator"), options, console)["scores"]["fr-en"]
    assert (found["sentences"], found["far"]["sentences"]) == (5, 1)
    for scores in (found, found["far"], *found["by_source_words"].values()):
        for measure_ in ("bleu", "chrf"):
            low, high = scores["intervals"][measure_]
            assert low <= scores[measure_] <= high
    assert "1 sentences are far: no training sentence" in " ".join(shown(console).split())
    # The training text elsewhere, and nowhere.
    lone = shutil.copy(data / "test.tsv", tmp_path / "lone.tsv")
    lonely = dataclasses.replace(options, data=Path(lone))
    known = dataclasses.replace(lonely, training_data=data)
    assert measure(of_recipe("translator"), known, console)["scores"]["fr-en"]["far"]["sentences"] == 1
    assert "Not told apart" not in shown(console)
    assert "far" not in measure(of_recipe("translator"), lonely, console)["scores"]["fr-en"]
    assert "Not told apart by what it was trained on: " in shown(console)


def test_of_a_folder_the_recipes_own_tests_are_measured(
    of_recipe: Callable[..., Path], data: Path, console: Console
) -> None:
    options = Options(data=data, limit=3)
    found = measure_recipe(of_recipe("classifier"), options, Registry("none"), console)
    assert found["scores"].keys() == {"labelled.test"}
    assert (found["scores"]["labelled.test"]["texts"], found["precision"], found["limit"]) == (3, "float32", 3)
    assert "3 texts" in shown(console)
    assert "calibration error" in shown(console)
