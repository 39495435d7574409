from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.training.data.look import Told, look_at
from models.training.data.readers import DataError
from models.training.tasks import DRAFTED

TRANSLATE, GENERATE, CLASSIFY = (DRAFTED[name].find_columns for name in ("translate", "generate", "classify"))
FRENCH = [f"Le chat numéro {n} dort." for n in range(20)]
ENGLISH = [f"The cat number {n} sleeps." for n in range(20)]
KOREAN = [f"{n}번 고양이가 잔다." for n in range(20)]
LABELS = ["positive", "negative"] * 10


def table(path: Path, separator: str, *columns: list[str], header: str = "") -> Path:
    rows = [separator.join(row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([header, *rows] if header else rows) + "\n", encoding="utf-8")
    return path


def test_a_csv_with_a_header_says_what_it_has(tmp_path: Path) -> None:
    look = look_at(table(tmp_path / "a.csv", ";", ENGLISH, LABELS, header="Review;Sentiment"), CLASSIFY)
    assert (look.corpus.columns, look.corpus.names) == (("text", "label"), {"text": "Review", "label": "Sentiment"})
    assert look.labels == {"positive": 10, "negative": 10}
    assert (look.rows, look.texts["text"].total) == (20, sum(map(len, ENGLISH)))


@pytest.mark.parametrize(
    ("header", "one_is_label", "columns"),
    [("", False, ("text", "label")), ("", True, ("label", "text")), ("phrase\tkind", False, ("text", "label"))],
)
def test_columns_that_nobody_names_are_told_by_their_values(tmp_path, header, one_is_label, columns) -> None:
    parts = [LABELS, ENGLISH] if one_is_label else [ENGLISH, LABELS]
    look = look_at(table(tmp_path / "a.tsv", "\t", *parts, header=header), CLASSIFY)
    assert set(look.corpus.columns) == set(columns)
    assert look.labels == {"positive": 10, "negative": 10}
    assert look.rows == 20
    if not header:
        assert look.corpus.columns == columns


def test_rows_of_another_width_than_the_header_are_told(tmp_path: Path) -> None:
    wider = table(tmp_path / "a.csv", ",", ENGLISH, LABELS, LABELS, header="text,label")
    with pytest.raises(DataError, match=r"names 2 columns \(text, label\), but most rows have 3 cells: name each"):
        look_at(wider, CLASSIFY)
    odd = table(tmp_path / "b.tsv", "\t", ENGLISH, LABELS, header="made on Monday")
    look = look_at(odd, CLASSIFY)
    assert (look.corpus.columns, look.rows, look.broken[0]) == (("text", "label"), 20, 1)


def test_a_csv_without_a_header_is_read_by_position(tmp_path: Path) -> None:
    look = look_at(table(tmp_path / "a.csv", ",", [str(n) for n in range(20)], LABELS, ENGLISH), CLASSIFY)
    assert (look.corpus.columns, look.corpus.header) == (("_", "label", "text"), False)
    assert look.rows == 20


def test_json_lines_and_parquet_are_read_by_name(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{"id": n, "comment": text, "stars": n % 2} for n, text in enumerate(ENGLISH)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        look = look_at(tmp_path / name, CLASSIFY)
        assert look.corpus.names == {"text": "comment", "label": "stars"}
        assert look.labels == {"0": 10, "1": 10}


def test_languages_are_told_by_the_header_by_the_script_or_by_you(tmp_path: Path) -> None:
    named = look_at(table(tmp_path / "a.csv", ";", FRENCH, ENGLISH, header="French;English"), TRANSLATE)
    assert (named.corpus.columns, named.corpus.directions) == (("fr", "en"), ("fr-en", "en-fr"))
    bare = table(tmp_path / "a.tsv", "\t", KOREAN, ENGLISH)
    with pytest.raises(
        DataError, match=r"which languages are its columns\? 1 \(ko\), 2 \(unknown\). Say so with --lang"
    ):
        look_at(bare, TRANSLATE)
    assert look_at(bare, TRANSLATE, Told(languages=["ko", "en"])).corpus.columns == ("ko", "en")
    kana = ["これはねこです。"] * 20
    assert look_at(table(tmp_path / "b.tsv", "\t", kana, KOREAN), TRANSLATE).corpus.columns == (
        "ja",
        "ko",
    )
    titled = table(tmp_path / "c.csv", ";", [str(n) for n in range(20)], FRENCH, ENGLISH, header="id;source;target")
    assert look_at(titled, TRANSLATE, Told(languages=["fr", "en"])).corpus.names == {
        "fr": "source",
        "en": "target",
    }


def test_a_file_of_anki_is_known_by_its_attributions(tmp_path: Path) -> None:
    credits = ["CC-BY 2.0 (France) Attribution: tatoeba.org"] * 20
    path = table(tmp_path / "kor.txt", "\t", ENGLISH, KOREAN, credits)
    look = look_at(path, TRANSLATE)
    assert (look.corpus.format, look.corpus.columns) == ("anki", ("en", "ko"))
    french = table(tmp_path / "fra.txt", "\t", ENGLISH, FRENCH, credits)
    assert look_at(french, TRANSLATE, Told(languages=["fr", "en"])).corpus.columns == (
        "en",
        "fr",
    )
    with pytest.raises(DataError, match="which language is beside English"):
        look_at(french, TRANSLATE)


def test_blank_lines_make_prose_of_plain_text(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("\n".join([*ENGLISH[:10], "", *ENGLISH[10:], "", ENGLISH[0]]))
    look = look_at(tmp_path / "book.txt", GENERATE)
    assert (look.is_prose, look.rows, look.documents, look.passages) == (True, 21, 3, 3)
    (tmp_path / "lines.txt").write_text("\n".join(ENGLISH))
    assert not look_at(tmp_path / "lines.txt", GENERATE).is_prose
    (tmp_path / "lines.txt").write_text("\n".join([*ENGLISH * 30, "", ENGLISH[0]]))
    assert not look_at(tmp_path / "lines.txt", GENERATE).is_prose, "one blank line among 600"


def test_rows_that_cannot_be_read_are_counted_and_allowed_for(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", ",", ENGLISH * 10, LABELS * 10, header="text,label")
    with path.open("a") as file:
        file.write("alone\n" * 150)
    look = look_at(path, CLASSIFY)
    assert look.broken == (150, "a.csv:202: 1 column, expected 2")
    assert look.corpus.max_broken >= 150


@pytest.mark.parametrize(
    ("task", "told", "complaint"),
    [
        (
            CLASSIFY,
            {},
            r"no column looks like labels: it has 1 \(20 values\), 2 \(20 values\). Say which with --label",
        ),
        (CLASSIFY, {"label": "kind"}, "no column 'kind'; there are 1, 2"),
        (TRANSLATE, {"languages": ["fr", "en", "ko"]}, "2 columns have text, --languages names 3"),
    ],
)
def test_what_cannot_be_told_is_asked_for(tmp_path: Path, task, told, complaint) -> None:
    with pytest.raises(DataError, match=complaint):
        look_at(table(tmp_path / "a.tsv", "\t", FRENCH, ENGLISH), task, Told(**told))


def test_a_file_that_is_not_there_or_has_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.csv: no such file"):
        look_at(tmp_path / "a.csv", CLASSIFY)
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(DataError, match=r"a.csv: there is not one row in it"):
        look_at(tmp_path / "a.csv", CLASSIFY)
    (tmp_path / "a.txt").write_text("one column\n" * 20)
    with pytest.raises(DataError, match="translations need two columns, this file has 1"):
        look_at(tmp_path / "a.txt", TRANSLATE)
