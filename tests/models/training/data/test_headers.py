from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.training.data.headers import columns_of, find, language_of
from models.training.data.readers import DataError


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.csv", "\ufeffid; Review ;stars\n1;a, b;5\n", ("id", "Review", "stars")),
        ("a.tsv", "fr\ten\r\nun\tone\r\n", ("fr", "en")),
        ("a.jsonl", 'no object\n{"text": "a"}\n{"text": "b", "label": 1}\n', ("text", "label")),
        ("a.csv", "", ()),
    ],
)
def test_a_file_says_what_its_columns_are(tmp_path: Path, name: str, content: str, columns: tuple[str, ...]) -> None:
    (tmp_path / name).write_text(content)
    assert columns_of(tmp_path / name, name.split(".")[1]) == columns  # type: ignore[arg-type]


def test_a_missing_or_unsound_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.csv: no such file"):
        columns_of(tmp_path / "a.csv", "csv")
    (tmp_path / "a.parquet").write_text(json.dumps({}))
    with pytest.raises(DataError, match=r"a.parquet: not a sound Parquet file"):
        columns_of(tmp_path / "a.parquet", "parquet")


@pytest.mark.parametrize(
    ("columns", "wanted", "found"),
    [
        (("text", "label"), ("text", "label"), {"text": "text", "label": "label"}),
        (("id", "Review", "Sentiment"), ("text", "label"), {"text": "Review", "label": "Sentiment"}),
        (("title", "text", "class"), ("text", "label"), {"text": "text", "label": "class"}),
        (("sentence1", "sentence2", "gold"), ("text", "pair", "label"), {"text": "sentence1", "pair": "sentence2"}),
        (("French", "english"), ("fr", "en"), {"fr": "French", "en": "english"}),
        (("text_fr", "en_US", "id"), ("fr", "en", "ko"), {"fr": "text_fr", "en": "en_US"}),
        (("a", "b"), ("text",), {}),
    ],
)
def test_a_column_is_found_by_what_people_call_it(columns, wanted, found) -> None:
    assert find(columns, wanted) == found


def test_names_that_are_known_come_first_and_no_column_serves_twice() -> None:
    assert find(("text", "body"), ("text",), {"text": ["body"]}) == {"text": "body"}
    assert find(("target",), ("label", "target")) == {"label": "target"}


@pytest.mark.parametrize(
    ("column", "language"),
    [
        ("fr", "fr"),
        ("pt-BR", "pt"),
        ("Korean text", "ko"),
        ("src_en", "en"),
        ("id", None),
        ("user id", None),
        ("x", None),
    ],
)
def test_a_columns_name_may_speak_of_a_language(column: str, language: str | None) -> None:
    assert language_of(column) == language
