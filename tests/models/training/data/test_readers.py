from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from models.training.data.readers import Broken, DataError, place, read_rows
from models.training.sections import Corpus

TWO = ("fr", "en")


def values(corpus: Corpus, folder: Path, broken: Broken | None = None) -> list[dict[str, str]]:
    return [record.values for record in read_rows(corpus, folder, broken)]


def read_around(corpus: Corpus, folder: Path, good: list[dict[str, str]]) -> str:
    """The complaint about the one broken row, after checking that the others are read."""
    broken = Broken(corpus)
    assert values(corpus, folder, broken) == good
    assert broken.count == 1
    return broken.first[0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a\tb\nc\n", "rows.tsv:2: 1 column, expected 2: fr, en"),
        (b"a\tb\nc\td\te\n", "rows.tsv:2: 3 columns, expected 2: fr, en"),
        (b"a\tb\n\xff\tb\n", "rows.tsv:2: not UTF-8 at byte 0"),
        (b"a\tb\n \tb\n", "rows.tsv:2: column fr is empty"),
        (b"a\tb\n\n", "rows.tsv:2: 1 column, expected 2: fr, en"),
    ],
)
def test_a_broken_line_is_left_out_and_named_with_file_and_number(tmp_path, content, complaint):
    (tmp_path / "rows.tsv").write_bytes(content)
    assert read_around(Corpus(file="rows.tsv", columns=TWO), tmp_path, [{"fr": "a", "en": "b"}]) == complaint


def test_more_broken_rows_than_allowed_end_the_reading_with_the_first_ones(tmp_path):
    (tmp_path / "rows.tsv").write_text("a\tb\n" + "c\n" * 9)
    with pytest.raises(DataError) as refusal:
        values(Corpus(file="rows.tsv", columns=TWO, max_broken=6), tmp_path)
    assert "rows.tsv: 7 rows so far cannot be read, at most 6 are left out (max_broken)" in str(refusal.value)
    assert "rows.tsv:2: 1 column, expected 2: fr, en; rows.tsv:3: 1 column" in str(refusal.value)
    assert "rows.tsv:7" not in str(refusal.value), "the first few are enough"


def test_a_file_without_one_row_that_can_be_read_is_an_error(tmp_path):
    (tmp_path / "rows.tsv").write_text("a\n")
    with pytest.raises(DataError, match=r"rows.tsv: not one row that can be read. The first: rows.tsv:1: 1 column"):
        values(Corpus(file="rows.tsv", columns=TWO), tmp_path)


@pytest.mark.parametrize("name", ["rows.tsv", "rows.jsonl", "rows.parquet"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(DataError, match=rf"{name}: no such file; the recipe's files are relative to the data folder"):
        values(Corpus(file=name, columns=TWO), tmp_path)


def test_rows_are_read_by_column_whatever_the_line_end_and_without_the_byte_order_mark(tmp_path):
    (tmp_path / "rows.tsv").write_bytes("\ufeffchat\tcat\r\n고양이\tcat\u2028s\n".encode())
    expected = [{"x": "chat", "en": "cat"}, {"x": "고양이", "en": "cat\u2028s"}]
    assert values(Corpus(file="rows.tsv", columns=("x", "en")), tmp_path) == expected


def test_a_header_finds_the_columns_by_name_in_any_order_and_others_may_be_empty(tmp_path):
    (tmp_path / "rows.tsv").write_text("en\tid\tfr\ncat\t\tchat\ndog\t2\t\n")
    corpus = Corpus(file="rows.tsv", columns=TWO)
    broken = Broken(corpus)
    ((record),) = read_rows(corpus, tmp_path, broken)
    assert (record.values["fr"], record.values["en"], record.line) == ("chat", "cat", 2)
    assert broken.first == ["rows.tsv:3: column fr is empty"]


def test_a_column_named_by_an_underscore_is_skipped(tmp_path):
    (tmp_path / "rows.tsv").write_text("7\tchat\t\tcat\n")
    (row,) = values(Corpus(file="rows.tsv", columns=("_", "fr", "_", "en")), tmp_path)
    assert (row["fr"], row["en"]) == ("chat", "cat")


def test_json_lines_give_texts_and_numbers_as_one_writes_them(tmp_path):
    objects = [{"text": "a\tb\nc", "label": 1, "more": []}, {"label": 2.0, "text": "d"}, {"label": True, "text": "e"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(o) + "\n" for o in objects))
    assert values(Corpus(file="rows.jsonl", columns=("text", "label")), tmp_path) == [
        {"text": "a\tb\nc", "label": "1"},
        {"text": "d", "label": "2"},
        {"text": "e", "label": "true"},
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"text": "b"', "rows.jsonl:2: not JSON at character 13: Expecting ',' delimiter"),
        ("9" * 5000, "rows.jsonl:2: not JSON that can be read: Exceeds the limit (4300 digits)"),
        ("[" * 100_000, "rows.jsonl:2: not JSON that can be read: maximum recursion depth exceeded"),
        ('["b"]', "rows.jsonl:2: a list, expected an object"),
        ('{"document": "b"}', "rows.jsonl:2: no column text; it has document"),
        ('{"text": null}', "rows.jsonl:2: column text is empty"),
        ('{"text": NaN}', "rows.jsonl:2: column text is empty"),
        ('{"text": ["b"]}', "rows.jsonl:2: column text is a list, expected a text"),
        ('{"text": " "}', "rows.jsonl:2: column text is empty"),
        ('{"text": "\\ud83d"}', "rows.jsonl:2: column text has half a character (a lone surrogate)"),
    ],
)
def test_a_broken_line_of_json_is_left_out_and_named(tmp_path, line, complaint):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n' + line + "\n")
    found = read_around(Corpus(file="rows.jsonl", columns=("text",)), tmp_path, [{"text": "a"}])
    assert found.startswith(complaint)


def test_parquet_is_read_by_column_and_each_row_carries_its_row_group(tmp_path):
    texts = pyarrow.array(["a", "b", "c"]).dictionary_encode()
    table = pyarrow.table({"id": [1, 2, 3], "label": [0, 1, None], "text": texts})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    corpus = Corpus(file="rows.parquet", columns=("text", "label"))
    broken = Broken(corpus)
    records = list(read_rows(corpus, tmp_path, broken))
    assert [(r.values, r.group, r.line) for r in records] == [
        ({"text": "a", "label": "0"}, 0, 0),
        ({"text": "b", "label": "1"}, 0, 1),
    ]
    assert broken.first == ["rows.parquet: row group 1, row 0: column label is empty"]
    assert place("rows.parquet", 3, 1) == "rows.parquet: row group 1, row 3"


def test_parquet_text_that_is_not_utf8_is_a_broken_row(tmp_path):
    texts = pyarrow.array([b"a", b"\xff"]).cast(pyarrow.string(), safe=False)
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "rows.parquet")
    complaint = read_around(Corpus(file="rows.parquet", columns=("text",)), tmp_path, [{"text": "a"}])
    assert complaint == "rows.parquet: row group 0, row 1: column text is not UTF-8 at byte 0"


def test_a_parquet_file_of_another_schema_is_an_error_at_once(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"text": [["a"]], "label": [1]}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows.parquet: no column 'review'; its columns are text, label"):
        values(Corpus(file="rows.parquet", columns=("review",)), tmp_path)
    with pytest.raises(DataError, match=r"rows.parquet: column 'text' is of type list<.*>, expected text or numbers"):
        values(Corpus(file="rows.parquet", columns=("text",)), tmp_path)
    (tmp_path / "rows.parquet").write_text("no such thing")
    with pytest.raises(DataError, match=r"rows.parquet: not a sound Parquet file"):
        values(Corpus(file="rows.parquet", columns=("text",)), tmp_path)


def test_plain_text_counts_the_gaps_between_documents(tmp_path):
    (tmp_path / "book.txt").write_text("\none\ntwo\n\n \nthree\n")
    records = list(read_rows(Corpus(file="book.txt", columns=("text",), format="text"), tmp_path))
    assert [(r.values["text"], r.line, r.document) for r in records] == [("one", 2, 1), ("two", 3, 1), ("three", 6, 2)]


def test_the_anki_layout_comes_with_or_without_attribution(tmp_path):
    credit = "CC-BY 2.0 (France) Attribution: tatoeba.org #2877272 (CM) & #1158250 (Wittydev)"
    (tmp_path / "fra.txt").write_text(f"Go.\tVa !\t{credit}\nHi.\tSalut !\nRun!\n")
    corpus = Corpus(file="fra.txt", columns=("en", "fr"), format="anki")
    broken = Broken(corpus)
    assert values(corpus, tmp_path, broken) == [{"en": "Go.", "fr": "Va !"}, {"en": "Hi.", "fr": "Salut !"}]
    assert broken.first == ["fra.txt:3: 1 column, expected en, fr and perhaps an attribution"]
    with pytest.raises(DataError, match=r"fra.txt: the anki layout has two columns, such as \[en, fr\]"):
        values(Corpus(file="fra.txt", columns=("en", "fr", "credit"), format="anki"), tmp_path)


def test_the_nsmc_layout_has_a_header_and_carriage_returns_and_a_few_empty_documents(tmp_path):
    content = "id\tdocument\tlabel\r\n9976970\t아 더빙.. 진짜 짜증나네요 목소리\t0\r\n2172111\t\t1\r\n"
    (tmp_path / "ratings_train.txt").write_bytes(content.encode())
    corpus = Corpus(file="ratings_train.txt", columns=("label", "text"), format="nsmc")
    broken = Broken(corpus)
    (row,) = values(corpus, tmp_path, broken)
    assert (row["text"], row["label"]) == ("아 더빙.. 진짜 짜증나네요 목소리", "0")
    assert broken.first == ["ratings_train.txt:3: column text is empty"]


def test_another_file_than_nsmcs_is_an_error_at_once(tmp_path):
    (tmp_path / "ratings_train.txt").write_text("1\tgood\n")
    with pytest.raises(DataError, match=r"ratings_train.txt:1: '1\\tgood' is not the nsmc layout's header"):
        values(Corpus(file="ratings_train.txt", columns=("label", "text"), format="nsmc"), tmp_path)
    with pytest.raises(DataError, match=r"the nsmc layout has the columns id, text, label, not 'review'"):
        values(Corpus(file="ratings_train.txt", columns=("label", "review"), format="nsmc"), tmp_path)


PARALLEL = Corpus(files={"fr": "a.fr", "en": "a.en"}, columns=TWO)


def test_lines_of_parallel_files_belong_together_and_stay_together_around_a_broken_one(tmp_path):
    (tmp_path / "a.fr").write_bytes(b"un\n\xff\n\nquatre\n")
    (tmp_path / "a.en").write_bytes(b"one\r\ntwo\r\nthree\r\nfour")
    broken = Broken(PARALLEL)
    assert values(PARALLEL, tmp_path, broken) == [{"fr": "un", "en": "one"}, {"fr": "quatre", "en": "four"}]
    assert broken.first == ["a.fr:2: not UTF-8 at byte 0", "a.fr + a.en:3: column fr is empty"]


def test_parallel_files_of_different_lengths_are_an_error_that_says_both(tmp_path):
    (tmp_path / "a.fr").write_text("un\ndeux\n")
    (tmp_path / "a.en").write_text("one\ntwo\nthree\nfour\n")
    with pytest.raises(DataError, match=r"parallel files differ in their number of lines: a.fr has 2, a.en has 4"):
        values(PARALLEL, tmp_path)


def test_a_csv_has_quotes_line_ends_in_cells_and_a_header_in_any_order(tmp_path):
    content = '\ufeffid,label,text\r\n1,pos,"one, ""two""\nthree"\r\n\r\n2,neg,five\r\n'
    (tmp_path / "rows.csv").write_bytes(content.encode())
    records = list(read_rows(Corpus(file="rows.csv", columns=("text", "label")), tmp_path))
    assert [(r.values["text"], r.values["label"], r.line) for r in records] == [
        ('one, "two"\nthree', "pos", 2),
        ("five", "neg", 5),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_csv_is_told_from_its_header_or_declared(tmp_path, delimiter):
    other = ";" if delimiter == "," else ","
    rows = [("text", "label"), (f"a{other} b{other} c", "pos"), (f"d{other} e", "neg")]
    (tmp_path / "rows.csv").write_text("".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in rows))
    told = Corpus(file="rows.csv", columns=("text", "label"))
    assert values(told, tmp_path) == [
        {"text": f"a{other} b{other} c", "label": "pos"},
        {"text": f"d{other} e", "label": "neg"},
    ]
    assert values(told.model_copy(update={"delimiter": delimiter}), tmp_path) == values(told, tmp_path)


def test_a_csv_without_a_header_is_read_in_the_recipes_order_when_it_says_so(tmp_path):
    (tmp_path / "rows.csv").write_text("pos;a, b\nneg;c, d\n")
    corpus = Corpus(file="rows.csv", columns=("label", "text"), header=False)
    assert values(corpus, tmp_path) == [{"label": "pos", "text": "a, b"}, {"label": "neg", "text": "c, d"}]
    with pytest.raises(DataError, match=r"rows.csv:1: no column 'label' in the header, which has pos, a, b: say what"):
        values(corpus.model_copy(update={"header": True}), tmp_path)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (b"x\n", "rows.csv:3: 1 column, expected 2"),
        (b"x,y,z\n", "rows.csv:3: 3 columns, expected 2"),
        (b"x,\n", "rows.csv:3: column label is empty"),
        (b"x,\xff\n", "rows.csv:3: cell 2 is not UTF-8"),
        (b'"x" y,z\n', "rows.csv:3: text behind a closing quote: a quote within quotes is doubled"),
        (
            b'"' + b"x,y\n" * 40_000,
            "rows.csv:3: a cell of more than 131,072 characters: perhaps a quote that is not closed",
        ),
    ],
)
def test_a_broken_row_of_a_csv_is_left_out_and_named_by_the_line_where_it_begins(tmp_path, row, complaint):
    (tmp_path / "rows.csv").write_bytes(b'text,label\n"a\rb",c\n' + row)
    broken = Broken(Corpus(file="rows.csv", columns=("text", "label"), max_broken=100_000))
    read = values(Corpus(file="rows.csv", columns=("text", "label")), tmp_path, broken)
    assert read == [{"text": "a\rb", "label": "c"}] + [{"text": "x", "label": "y"}] * (len(read) - 1)
    assert broken.first[0].startswith(complaint)


def test_a_quote_that_is_never_closed_is_said_with_the_lines_it_swallowed(tmp_path):
    (tmp_path / "rows.csv").write_text('text,label\na,b\n"x,y\nc,d\n')
    said = read_around(Corpus(file="rows.csv", columns=("text", "label")), tmp_path, [{"text": "a", "label": "b"}])
    assert said == "rows.csv:3: a quote that is not closed (lines 3 to 4)"


def test_what_is_no_csv_in_utf_8_is_refused_as_a_whole(tmp_path):
    corpus = Corpus(file="rows.csv", columns=("text", "label"))
    (tmp_path / "rows.csv").write_text("text,label\na,b\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"rows.csv: it is UTF-16: save it as UTF-8"):
        values(corpus, tmp_path)
    (tmp_path / "rows.csv").write_text("text,text,label\na,b,c\n")
    with pytest.raises(DataError, match="2 columns 'text' in the header"):
        values(corpus, tmp_path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.parquet"])
def test_a_column_may_have_another_name_in_the_file(tmp_path, name):
    (tmp_path / "rows.csv").write_text("review,stars\ngood,5\n")
    (tmp_path / "rows.tsv").write_text("review\tstars\ngood\t5\n")
    (tmp_path / "rows.jsonl").write_text('{"review": "good", "stars": 5}\n')
    pyarrow.parquet.write_table(pyarrow.table({"review": ["good"], "stars": [5]}), tmp_path / "rows.parquet")
    corpus = Corpus(file=name, columns=("text", "label"), names={"text": "review", "label": "stars"})
    assert values(corpus, tmp_path) == [{"text": "good", "label": "5"}]
