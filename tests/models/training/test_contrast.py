"""The cases of our own that the classifier is tested on."""

import csv
from collections import Counter
from pathlib import Path

import pytest

import models.training
from models import formats
from models.training.data.readers import path_of
from models.training.loading import load_recipe
from tests.models.training.reading import read_corpus

RECIPES = Path(models.training.__file__).parent / "recipes"
CONTRAST, NEUTRAL = "sentiment.contrast.ko.tsv", "sentiment.neutral.ko.tsv"


def cases(name: str) -> list[dict[str, str]]:
    with (RECIPES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_contrast_cases_are_balanced_and_each_kind_has_both_labels() -> None:
    found = cases(CONTRAST)
    labels = Counter(case["label"] for case in found)
    assert 60 <= len(found) <= 100
    assert min(labels.values()) > 0.4 * len(found)
    for kind in {case["phenomenon"] for case in found}:
        assert len({case["label"] for case in found if case["phenomenon"] == kind}) == 2, kind


def test_no_case_is_there_twice_and_all_are_short_and_as_typed() -> None:
    texts = [case["text"] for case in (*cases(CONTRAST), *cases(NEUTRAL))]
    assert len(set(texts)) == len(texts)
    assert all(formats.normalize(text) == text and len(text) <= 40 for text in texts)


@pytest.mark.parametrize("name", ["encoder", "rater", "classifier-teacher", "classifier"])
def test_no_recipe_on_the_way_to_the_classifier_trains_on_them(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    assert {CONTRAST, NEUTRAL} <= {corpus.file for corpus in recipe.tests}
    assert not {CONTRAST, NEUTRAL} & {corpus.file for corpus in (*recipe.corpora, *recipe.validation)}


def test_they_are_read_where_the_data_folder_lacks_them(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES / "classifier.yaml")
    read = {corpus.file: list(read_corpus(recipe, corpus, tmp_path)) for corpus in recipe.tests[1:]}
    assert {row.target for row in read[CONTRAST]} == {"negative", "positive"}
    assert [row.target for row in read[NEUTRAL]] == [""] * len(cases(NEUTRAL))


def test_a_file_of_the_data_folder_goes_first(tmp_path: Path) -> None:
    assert path_of(tmp_path, CONTRAST) == RECIPES / CONTRAST
    assert path_of(tmp_path, "other.tsv") == tmp_path / "other.tsv"
    (tmp_path / CONTRAST).write_text("label\ttext\n")
    assert path_of(tmp_path, CONTRAST) == tmp_path / CONTRAST
