import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tokenizer import train_wordpiece
from models.training.data import (
    DataError,
    Row,
    accepted,
    encode,
    padded,
    plan_batches,
    read_splits,
    read_tsv,
)
from models.training.duplicates import fingerprint
from models.training.recipe import Filter, Recipe


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a\tb\nc\n", r"rows.tsv:2: 1 columns, expected 2: fr, en"),
        (b"a\tb\nc\td\te\n", r"rows.tsv:2: 3 columns, expected 2"),
        (b"a\tb\n\xff\tb\n", r"rows.tsv:2: not UTF-8 at byte 0"),
        (b"a\tb\n \tb\n", r"rows.tsv:2: column fr is empty"),
    ],
)
def test_a_bad_line_is_named_with_file_and_number(tmp_path, content, complaint):
    (tmp_path / "rows.tsv").write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        list(read_tsv(tmp_path / "rows.tsv", ("fr", "en")))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"rows.tsv: no such file; the recipe's files are relative to the data folder"):
        list(read_tsv(tmp_path / "rows.tsv", ("fr", "en")))


def test_rows_are_read_by_column_whatever_the_line_end(tmp_path):
    (tmp_path / "rows.tsv").write_bytes("chat\tcat\r\n고양이\tcat\n".encode())
    assert list(read_tsv(tmp_path / "rows.tsv", ("x", "en"))) == [
        {"x": "chat", "en": "cat"},
        {"x": "고양이", "en": "cat"},
    ]


def test_each_direction_and_repeat_of_a_corpus_gives_a_row(write_recipe, recipes, data):
    columns = {"columns": ["fr", "en"]}
    corpora = [{"file": "dev.tsv", "directions": ["fr-en", "en-fr"], "repeat": 3, **columns}]
    validation = [{"file": "test.tsv", "directions": ["fr-en"], **columns}]
    changes = {"corpora": corpora, "validation": validation, "tests": []}
    recipe = Recipe.load(write_recipe({**recipes["translator"], **changes}))
    rows = read_splits(recipe, data).training
    assert len(rows) == 4 * 2 * 3
    assert {row.language for row in rows} == {"fr", "en"}


def test_training_texts_equal_to_a_held_out_one_are_left_out(write_recipe, recipes, data):
    held_out = (data / "test.tsv").read_text() + (data / "dev.tsv").read_text()
    french, english = held_out.splitlines()[0].split("\t")
    with (data / "train.tsv").open("a") as file:
        file.write(f"{french.upper()}!\tsomething else\n")  # differs in case and punctuation only
        file.write(f"autre chose\t{english}.\n")  # only the English is held out
        file.write("une phrase de plus\tone more sentence\n")
    splits = read_splits(Recipe.load(write_recipe(recipes["translator"])), data)
    trained = {fingerprint(text) for row in splits.training for text in (row.source, row.target)}
    assert not trained & {fingerprint(text) for line in held_out.splitlines() for text in line.split("\t")}
    assert fingerprint("one more sentence") in trained
    assert fingerprint("autre chose") not in trained


def test_a_held_out_part_is_the_same_each_time_and_not_trained_on(write_recipe, recipes, data):
    recipe = Recipe.load(write_recipe(recipes["classifier"]))
    first, second = read_splits(recipe, data), read_splits(recipe, data)
    assert first.validation == second.validation
    assert len(first.validation) == 16
    assert not {row.source for row in first.validation} & {row.source for row in first.training}


def test_rows_with_other_labels_are_left_out_and_columns_can_be_named(write_recipe, recipes, data):
    corpora = [
        {"file": "rated.tsv", "columns": ["rating", "text"], "label_column": "rating", "labels": {"9": "positive"}}
    ]
    splits = read_splits(Recipe.load(write_recipe({**recipes["classifier"], "corpora": corpora})), data)
    assert {row.target for row in splits.training} == {"positive"}
    assert len(splits.training) + len(splits.validation) + splits.near_duplicates == 80
    assert splits.near_duplicates > 0, "they differ in a number only"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("정말 재미있는 영화였다", True),
        ("좋아요", False),
        ("웃기다 ㅋㅋㅋㅋㅋㅋㅋㅋ 정말", False),
        ("굿굿굿굿 굿굿굿굿굿굿굿", False),
        ("이런 나쁜말 은 하지 맙시다", False),
        ("이런 나1쁜.말 은 하지 맙시다", False),
    ],
)
def test_the_filter_drops_short_repetitive_and_insulting_texts(text, kept):
    assert accepted(text, Filter(min_characters=8, max_repeat=4, min_distinct=0.4, blocked=("나쁜말",))) is kept


def test_a_long_text_to_classify_is_cut_and_keeps_its_end_token(write_recipe, recipes):
    recipe = Recipe.load(write_recipe(recipes["classifier"]))
    tokenizer = train_wordpiece(["영화"] * 3, 50)
    (example,) = encode(recipe, tokenizer, [Row("영화 " * 100, "positive")], (32, 1))
    assert len(example.source) == 32
    assert example.source[-1] == tokenizer.id("[SEP]")
    assert example.target.tolist() == [1]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 120), st.integers(0, 5))
def test_batches_hold_every_example_once_within_the_budget(widths: list[int], budget: int, epoch: int):
    sizes = np.array(widths, float)
    plan = plan_batches(sizes, budget, seed=1, epoch=epoch)
    assert sorted(index for batch in plan for index in batch) == list(range(len(widths)))
    assert all(len(batch) == 1 or len(batch) * sizes[batch].max() <= budget for batch in plan)


def test_batches_depend_on_seed_and_epoch_alone():
    sizes = np.arange(1, 200) % 17 + 1.0

    def order(seed: int, epoch: int) -> list[int]:
        return [int(index) for batch in plan_batches(sizes, 60, seed, epoch) for index in batch]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_rows_are_padded_on_the_right():
    assert padded([np.array([5]), np.array([6, 7])], 0).tolist() == [[5, 0], [6, 7]]
