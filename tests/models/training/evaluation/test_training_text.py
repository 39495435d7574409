from __future__ import annotations

from pathlib import Path

import pytest

from models.training.data.readers import DataError
from models.training.evaluation import training_text
from models.training.evaluation.training_text import TrainingText, is_near, is_seen
from models.training.loading import read_recipe
from models.training.recipe import Recipe
from tests.tiny_recipes import RECIPES, TRAINING, TRANSLATOR


def recipe_of(name: str = "translator", **fields: object) -> Recipe:
    return read_recipe({**RECIPES[name], "training": TRAINING, **fields})


def test_near_is_a_similarity_of_seven_tenths_without_case_and_punctuation() -> None:
    # Ten characters: three edits leave 0.7, four leave 0.6.
    found = is_near(["abcdefgxyz", "abcdefwxyz", "ABC, DEF... ghi!", "?!"], ["abcdefghij", "abc def ghi"])
    assert found.tolist() == [True, False, True, True]  # what has no letter is like anything
    assert is_near(["a b"], []).tolist() == [False]


def test_seen_is_the_same_text_without_case_and_punctuation() -> None:
    found = is_seen(["HELLO, you!", "hello", "Hello you there", "🙂 ..."], ["Hello you."])
    assert found.tolist() == [True, False, False, True]  # what has no letter is nothing new
    assert is_seen(["a"], []).tolist() == [False]


def test_a_text_is_unseen_where_no_file_of_its_language_has_it(data: Path, tmp_path: Path) -> None:
    (data / "fr.tsv").write_text("Bonjour !\tHello!\n")
    corpora = [
        *TRANSLATOR["corpora"],
        {"file": "fr.tsv", "columns": ["fr", "en"], "directions": ["fr-en"]},
    ]
    text = TrainingText(recipe_of(corpora=corpora), data, lambda line: None, tmp_path)
    assert text.unseen("fr", ["BONJOUR", "Bonjour à tous", "Hello"]) == [False, True, True]
    assert text.unseen("en", ["BONJOUR", "hello..."]) == [True, False]
    # A far pair is another thing, and what is kept of one does not answer the other.
    assert text.far("fr", "en", ["Bonjours"], ["x" * 20]) == [False]
    assert text.unseen("fr", ["Bonjours"]) == [True]


def test_all_training_sentences_count_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_text, "_CHUNK", 7)
    training = [f"sentence of number {n:03} {'x' * n}" for n in range(40)]
    assert is_near([training[0], training[39], "nothing alike"], training).tolist() == [True, True, False]


def test_a_pair_is_far_where_neither_side_is_near(data: Path, tmp_path: Path) -> None:
    text = TrainingText(recipe_of(), data, lambda line: None, tmp_path)
    pairs = [("le chat et la lune", "x" * 20), ("y" * 20, "a dog and a bird"), ("y" * 20, "x" * 20)]
    sources, targets = zip(*pairs, strict=True)
    assert text.far("fr", "en", sources, targets) == [False, False, True]
    assert text.far("en", "fr", targets, sources) == [False, False, True]
    # A French sentence is compared with French ones alone.
    assert text.far("fr", "en", ["a dog and a bird"], ["le chat et la lune"]) == [True]


def test_the_english_of_another_pair_counts_too(data: Path, tmp_path: Path) -> None:
    (data / "ko.tsv").write_text("비가 온다\tit is raining again\n")
    corpora = [
        *TRANSLATOR["corpora"],
        {"file": "ko.tsv", "columns": ["ko", "en"], "directions": ["ko-en"]},
    ]
    sides = ["y" * 20], ["it is raining, again"]
    assert TrainingText(recipe_of(corpora=corpora), data, lambda line: None, tmp_path).far("fr", "en", *sides) == [
        False
    ]
    assert TrainingText(recipe_of(), data, lambda line: None, tmp_path).far("fr", "en", *sides) == [True]


def test_what_teachers_write_does_not_count_and_what_they_read_does(data: Path, tmp_path: Path) -> None:
    (data / "mono.tsv").write_text("it is raining again\n")
    mono = {"file": "mono.tsv", "columns": ["en"], "directions": ["fr-en"], "written": {"fr": "en"}}
    recipe = recipe_of(
        corpora=[*TRANSLATOR["corpora"], mono],
        distillation={"teachers": ["teacher"]},
    )
    text = TrainingText(recipe, data, lambda line: None, tmp_path)
    assert text.far("fr", "en", ["y" * 20, "y" * 20], ["it is raining again!", "x" * 20]) == [False, True]


def test_what_was_compared_once_is_known_until_a_text_changes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def ask() -> list[bool]:
        return TrainingText(recipe_of(), data, said.append, tmp_path).far("fr", "en", ["y" * 20], ["x" * 20])

    assert ask() == [True]
    assert len(said) == 2
    assert "looking for the like of 1 texts (fr) among " in said[0]
    assert ask() == [True]
    assert len(said) == 2
    with (data / "train.tsv").open("a") as file:
        file.write(f"{'y' * 20}\tyes\n")
    assert ask() == [False]
    assert len(said) == 4
    monkeypatch.setattr(training_text, "default_cache", lambda: tmp_path / "no" / "folder")
    (tmp_path / "no").write_text("a file")
    assert TrainingText(recipe_of(), data, said.append).far("fr", "en", ["y" * 20], ["x" * 20]) == [False]


def test_what_was_compared_with_one_column_says_nothing_of_another(data: Path, tmp_path: Path) -> None:
    (data / "named.jsonl").write_text('{"before": "le chat", "after": "le chien", "en": "the cat"}\n')
    corpus = {"file": "named.jsonl", "columns": ["fr", "en"], "directions": ["fr-en"]}
    for name, unseen in (("before", [False, True]), ("after", [True, False])):
        recipe = recipe_of(corpora=[{**corpus, "names": {"fr": name}}])
        text = TrainingText(recipe, data, lambda line: None, tmp_path / "cache")
        assert text.unseen("fr", ["le chat", "le chien"]) == unseen


def test_without_the_training_files_nobody_knows(data: Path, tmp_path: Path) -> None:
    (data / "train.tsv").unlink()
    with pytest.raises(DataError, match=r"train\.tsv: no such file, and translator was trained on it"):
        TrainingText(recipe_of(), data, lambda line: None, tmp_path)
    with pytest.raises(DataError, match="a recipe to classify has no two sides"):
        TrainingText(recipe_of("classifier"), data, lambda line: None, tmp_path)
