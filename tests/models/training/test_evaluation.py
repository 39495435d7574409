import math

import pytest

from models.training.evaluation import accuracy, bits_per_byte, bleu, classification_scores, translation_scores
from models.training.recipe import Recipe


def test_bleu_of_the_references_is_a_hundred_and_comes_with_its_signature():
    references = ["The cat sat on the mat.", "It rained all day long."]
    scores = bleu(references, references)
    assert scores["bleu"] == 100
    assert "case:mixed" in scores["signature"]
    assert scores["sentences"] == 2


def test_accuracy_is_the_share_of_equal_answers():
    assert accuracy(["a", "b", "a", "a"], ["a", "b", "b", "a"]) == 0.75
    with pytest.raises(ValueError, match="1 answers for 2 expected"):
        accuracy(["a"], ["a", "b"])


def test_bits_per_byte_counts_bytes_not_characters():
    assert bits_per_byte(6 * math.log(2), ["고양"]) == pytest.approx(1)


def test_translations_are_scored_by_file_and_direction_with_any_answerer(write_recipe, recipes, data):
    recipe = Recipe.load(write_recipe(recipes["translator"]))
    answers = dict(line.split("\t") for line in (data / "test.tsv").read_text().splitlines())
    asked = []

    def answer(texts, source, target):
        asked.append((source, target))
        return [answers[text] for text in texts]

    assert translation_scores(recipe, data, answer)["test fr-en"]["bleu"] == pytest.approx(100)
    assert asked == [("fr", "en")]


def test_labels_are_scored_by_file_with_any_answerer(write_recipe, recipes, data):
    recipe = Recipe.load(write_recipe(recipes["classifier"]))
    scores = classification_scores(recipe, data, lambda texts: ["positive"] * len(texts))
    assert scores == {"labelled.test": {"accuracy": 0.5, "texts": 16}}
