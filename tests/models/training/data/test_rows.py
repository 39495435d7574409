from __future__ import annotations

import pytest

from models.training.data.readers import DataError
from models.training.data.rows import TextRow
from models.training.loading import load_recipe
from models.training.recipe import Recipe
from models.training.tasks.pretrain import split_in_two
from tests.models.training.reading import read_corpus


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("Come in. Take off your coat! Sit down.", "Come in. Take off your coat!", "Sit down."),
        ('He said "go!" and left the building', 'He said "go!"', "and left the building"),
        ("one two three four five six", "one two three", "four five six"),
        ("Version 1.2 is out now", "Version 1.2", "is out now"),
        ("これは本です。あれも「本です。」と彼", "これは本です。", "あれも「本です。」と彼"),
        ("  too \n few\twords ", "too few words", ""),
        ("Stop. Now.", "Stop. Now.", ""),
        ("", "", ""),
    ],
)
def test_a_text_is_split_at_the_sentence_end_or_the_space_nearest_its_middle(text, first, second):
    assert split_in_two(text) == (first, second)


@pytest.fixture
def encoder(write_recipe, recipes):
    """A recipe that pre-trains, with another corpus."""

    def build(corpus: dict, **fields: object) -> Recipe:
        return load_recipe(write_recipe({**recipes["encoder"], "corpora": [corpus], **fields}))

    return build


def rows(recipe: Recipe, data) -> list[TextRow]:
    return list(read_corpus(recipe, recipe.corpora[0], data))


def test_two_lines_of_a_document_are_a_row_and_a_line_left_alone_is_split(encoder, tmp_path):
    (tmp_path / "book.txt").write_text("One.\nTwo.\nThree is longer. Or not.\n\nFour.\n\n\nFive.\nSix.\n")
    assert rows(encoder({"file": "book.txt", "columns": ["text"], "format": "text"}), tmp_path) == [
        TextRow("One.", "Two."),
        TextRow("Three is longer.", "Or not."),
        TextRow("Four.", ""),
        TextRow("Five.", "Six."),
    ]


def test_pairs_for_pretraining_are_taken_as_given(encoder, tmp_path):
    (tmp_path / "pairs.tsv").write_text("Come in. Sit down.\tI will.\n")
    assert rows(encoder({"file": "pairs.tsv", "columns": ["text", "pair"]}), tmp_path) == [
        TextRow("Come in. Sit down.", "I will.")
    ]


def test_a_table_of_texts_gives_a_row_for_each_text(encoder, tmp_path):
    (tmp_path / "texts.tsv").write_text("9\tA fine film. I would see it again.\n2\tBad\n")
    assert rows(encoder({"file": "texts.tsv", "columns": ["rating", "text"]}), tmp_path) == [
        TextRow("A fine film.", "I would see it again."),
        TextRow("Bad", ""),
    ]


def test_without_the_question_for_the_next_sentence_texts_stay_whole(encoder, tmp_path):
    (tmp_path / "texts.tsv").write_text("9\tA fine film. I would see it again.\n")
    (tmp_path / "book.txt").write_text("One. And more.\nTwo.\n")
    (tmp_path / "pairs.tsv").write_text("Come in. Sit down.\tI will.\n")
    whole = {"next_sentence": False}
    texts = encoder({"file": "texts.tsv", "columns": ["rating", "text"]}, **whole)
    assert rows(texts, tmp_path) == [TextRow("A fine film. I would see it again.", "")]
    book = encoder({"file": "book.txt", "columns": ["text"], "format": "text"}, **whole)
    assert rows(book, tmp_path) == [TextRow("One. And more.", ""), TextRow("Two.", "")]
    pairs = encoder({"file": "pairs.tsv", "columns": ["text", "pair"]}, **whole)
    assert rows(pairs, tmp_path) == [TextRow("Come in. Sit down.", "I will.")]


def test_each_direction_of_a_translation_is_a_row(write_recipe, recipes, tmp_path):
    recipe = load_recipe(write_recipe(recipes["translator"]))
    (tmp_path / "train.tsv").write_text("chat\tcat\n")
    assert rows(recipe, tmp_path) == [
        TextRow("chat", "cat", language="en", source_language="fr"),
        TextRow("cat", "chat", language="fr", source_language="en"),
    ]


def test_the_labels_of_a_classifier_are_mapped_and_other_rows_give_none(write_recipe, recipes, tmp_path):
    recipe = load_recipe(write_recipe(recipes["classifier"]))
    (tmp_path / "labelled.tsv").write_text("0\tbad\n1\tgood\n7\tso so\n")
    assert rows(recipe, tmp_path) == [TextRow("bad", "negative"), TextRow("good", "positive")]


def test_a_column_that_the_task_needs_is_asked_for(write_recipe, recipes, data):
    changes = {"corpora": [{"file": "rated.tsv", "columns": ["rating", "review"]}]}
    recipe = load_recipe(write_recipe({**recipes["generator"], **changes}))
    with pytest.raises(
        DataError, match=r"rated.tsv: a recipe with task generate reads column 'text', .* rating, review"
    ):
        rows(recipe, data)
