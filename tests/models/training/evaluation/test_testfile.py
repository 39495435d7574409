from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.training.data.readers import DataError
from models.training.evaluation.fewshot import Labelled
from models.training.evaluation.testfile import TestFile, places
from models.training.sections import RecipeError


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_columns_of_a_tsv_are_told(tmp_path: Path) -> None:
    file = TestFile.read(written(tmp_path / "a.tsv", "un\tone", "deux\ttwo"), ["fr", "en"], columns=["fr", "en"])
    assert file.translations("fr", "en") == (["un", "deux"], ["one", "two"])
    assert file.translations("en", "fr") == (["one", "two"], ["un", "deux"])


def test_without_them_the_message_says_how_to_tell(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"columns of tsv are, such as --columns fr,en"):
        TestFile.read(written(tmp_path / "a.tsv", "un\tone"), ["fr", "en"])


def test_json_lines_name_their_columns_and_others_are_not_needed(tmp_path: Path) -> None:
    lines = [json.dumps({"id": n, "text": f"text {n}", "label": n % 2}) for n in range(4)]
    file = TestFile.read(written(tmp_path / "a.jsonl", *lines), ["text", "label"], limit=3)
    assert file.rows == [{"text": f"text {n}", "label": str(n % 2)} for n in range(3)]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_header_needs_no_columns_and_it_is_said_what_was_taken(tmp_path: Path, suffix: str) -> None:
    lines = ["id,Review,stars", "1,good,5", "2,bad,1"]
    path = written(tmp_path / f"a.{suffix}", *(line.replace(",", "\t") if suffix == "tsv" else line for line in lines))
    file = TestFile.read(path, ["text", "label"])
    assert [(row["text"], row["label"]) for row in file.rows] == [("good", "5"), ("bad", "1")]
    assert file.took == "text (Review), label (stars)"
    assert TestFile.read(path, ["text", "label"], known={"label": ["id"]}).rows[0]["label"] == "1"
    with pytest.raises(DataError, match=r"--columns fr,en; its first row has id, Review, stars"):
        TestFile.read(path, ["fr", "en"])


def test_columns_of_a_csv_can_be_told_by_name_or_where_it_has_no_header_in_order(tmp_path: Path) -> None:
    named = written(tmp_path / "named.csv", "w,x,y", "1,good,5")
    rows = [{"text": "good", "label": "5"}]
    found = TestFile.read(named, ["text", "label"], columns=["text=x", "label=y"]).rows
    assert [{name: row[name] for name in ("text", "label")} for row in found] == rows
    bare = written(tmp_path / "bare.csv", "5;good", "1;bad")
    assert TestFile.read(bare, ["text"], columns=["label", "text"]).rows[0] == {"text": "good", "label": "5"}


def test_a_second_text_is_read_where_there_is_one(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"premise": "a", "hypothesis": "b", "label": "x"}')
    file = TestFile.read(path, ["text", "label"], optional=["pair"])
    assert file.labelled("label", {}, ["x", "y"]) == [Labelled("a", "x", "b")]
    alone = written(tmp_path / "b.jsonl", '{"text": "a", "label": "x"}')
    assert TestFile.read(alone, ["text", "label"], optional=["pair"]).labelled("label", {}, ["x"])[0].pair is None


def test_plain_text_can_be_read_by_documents(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "one", "two", "", "three")
    assert TestFile.read(path, ["text"], documents=True).rows == [{"text": "one two"}, {"text": "three"}]


def test_a_txt_is_plain_text_and_parquet_is_read(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    assert TestFile.read(written(tmp_path / "a.txt", "one", "", "two"), ["text"]).rows == [
        {"text": "one"},
        {"text": "two"},
    ]
    parquet.write_table(pyarrow.table({"text": ["one"], "other": [1]}), tmp_path / "a.parquet")
    assert TestFile.read(tmp_path / "a.parquet", ["text"]).rows == [{"text": "one"}]


def test_nsmc_as_it_comes_needs_no_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "ratings_test.txt", "id\tdocument\tlabel", "1\t좋다\t1", "2\t싫다\t0")
    file = TestFile.read(path, ["text", "label"], format="nsmc")
    assert file.labelled("label", {"1": "positive", "0": "negative"}, ["negative", "positive"]) == [
        Labelled("좋다", "positive"),
        Labelled("싫다", "negative"),
    ]


def test_rows_of_other_labels_are_left_out_and_pairs_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "a\tb\tyes", "c\td\tno", "e\tf\tmaybe")
    file = TestFile.read(path, ["text", "label"], columns=["text", "pair", "label"])
    assert file.labelled("label", {}, ["yes", "no"]) == [Labelled("a", "yes", "b"), Labelled("c", "no", "d")]


def test_values_that_are_no_labels_are_said_with_how_to_map_them(tmp_path: Path) -> None:
    file = TestFile.read(written(tmp_path / "a.tsv", "0\tbad", "1\tgood"), ["text"], columns=["label", "text"])
    with pytest.raises(DataError, match=r'has 0, 1, the labels are bad, good.*--labels "0=bad,1=good"'):
        file.labelled("label", {}, ["bad", "good"])
    with pytest.raises(DataError, match="no label great: there are bad, good"):
        file.labelled("label", {"1": "great"}, ["bad", "good"])


def test_a_column_the_task_needs_is_missed_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'en' among fr, de"):
        TestFile.read(written(tmp_path / "a.tsv", "un\teins"), ["fr", "en"], columns=["fr", "de"])


def test_broken_rows_are_counted_with_the_first(tmp_path: Path) -> None:
    file = TestFile.read(written(tmp_path / "a.tsv", "un\tone", "deux"), ["fr"], columns=["fr", "en"])
    assert file.broken[0] == 1
    assert "a.tsv:2: 1 column, expected 2" in file.broken[1]


def test_an_unknown_suffix_asks_for_the_format(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"a.xls: give its format"):
        TestFile.read(written(tmp_path / "a.xls", "x"), ["text"], columns=["text"])


def test_prompts_take_their_values_from_the_row(tmp_path: Path) -> None:
    template = "<rating:{rating}>"
    file = TestFile.read(
        written(tmp_path / "a.tsv", "9\tgood"), ["text", *places(template)], columns=["rating", "text"]
    )
    assert file.prompts(template) == ["<rating:9>"]
