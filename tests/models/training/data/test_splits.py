from __future__ import annotations

import json
import os
import tracemalloc
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from models.tokenizer import train_byte_bpe
from models.training.data import examples
from models.training.data import splits as module
from models.training.data.duplicates import fingerprint
from models.training.data.readers import DataError
from models.training.data.report import Report
from models.training.data.written import Writing
from models.training.loading import load_recipe
from models.training.recipe import DataFields, Recipe, RunFields
from models.training.tasks import task_of
from tests.models.training.reading import encode, read_splits
from tests.tiny_recipes import RECIPES


def quiet(line: str) -> None:
    pass


@pytest.fixture
def read(data, tmp_path):
    return lambda recipe, say=quiet: read_splits(recipe, data, tmp_path / "run", say)


@pytest.fixture
def recipe(write_recipe, recipes):
    return lambda name, **changes: load_recipe(write_recipe({**recipes[name], **changes}))


def with_labels(recipe: Recipe, data: Path, directory: Path) -> Recipe:
    return module.with_labels(task_of(recipe), recipe, data, directory)


def test_each_direction_and_repeat_of_a_corpus_gives_a_row(recipe, read):
    columns = {"columns": ["fr", "en"]}
    corpora = [{"file": "dev.tsv", "directions": ["fr-en", "en-fr"], "repeat": 3, **columns}]
    validation = [{"file": "test.tsv", "directions": ["fr-en"], **columns}]
    splits = read(recipe("translator", corpora=corpora, validation=validation, tests=[]))
    rows = list(splits.training)
    assert len(rows) == len(splits.training) == splits.report.training == 4 * 2 * 3
    assert {row.language for row in rows} == {"fr", "en"}
    assert len(splits.validation) == splits.report.validation == 4


def test_training_texts_equal_to_a_held_out_one_are_left_out(recipe, read, data):
    held_out = (data / "test.tsv").read_text() + (data / "dev.tsv").read_text()
    french, english = held_out.splitlines()[0].split("\t")
    with (data / "train.tsv").open("a") as file:
        file.write(f"{french.upper()}!\tsomething else\n")  # differs in case and punctuation only
        file.write(f"autre chose\t{english}.\n")  # only the English is held out
        file.write("une phrase de plus\tone more sentence\n")
    splits = read(recipe("translator"))
    trained = {fingerprint(text) for row in splits.training for text in (row.source, row.target)}
    assert not trained & {fingerprint(text) for line in held_out.splitlines() for text in line.split("\t")}
    assert fingerprint("one more sentence") in trained
    assert fingerprint("autre chose") not in trained
    assert splits.report.near_duplicates >= 2


def test_a_held_out_part_is_not_trained_on_and_counted(recipe, read):
    splits = read(recipe("classifier"))
    assert len(splits.validation) == 16
    assert not {row.source for row in splits.validation} & {row.source for row in splits.training}
    (training,) = (corpus for corpus in splits.report.corpora if corpus.role == "training")
    assert training.left_out["held_out"] == 16
    assert training.rows == training.kept + sum(training.left_out.values()) == 160


def test_what_is_held_out_depends_on_seed_and_texts_alone(recipe, data, tmp_path):
    def held_out(folder: str, **changes: object) -> list[str]:
        splits = read_splits(recipe("classifier", **changes), data, tmp_path / folder, quiet)
        return sorted(row.source for row in splits.validation)

    first = held_out("a")
    assert held_out("b") == first
    assert held_out("c", seed=2) != first
    lines = (data / "labelled.tsv").read_text().splitlines()
    (data / "labelled.tsv").write_text("\n".join([*reversed(lines), lines[0], "1\t새로운 영화"]) + "\n")
    assert len(set(held_out("d")) & set(first)) >= 15, "another order and a few rows more change little"


def test_no_text_is_held_out_twice(recipe, read, data):
    (data / "labelled.tsv").write_text("1\t좋은 영화\n" * 500 + "".join(f"0\t나쁜 것 {n}\n" for n in range(40)))
    texts = [row.source for row in read(recipe("classifier", scarce_labels="allow")).validation]
    assert len(set(texts)) == len(texts) == 16


RATED = {"file": "rated.tsv", "columns": ["rating", "text"], "label_column": "rating"}


def test_rows_with_other_labels_are_left_out_if_asked_and_columns_can_be_named(recipe, read):
    corpora = [{**RATED, "labels": {"9": "positive"}, "other_labels": "leave_out"}]
    splits = read(recipe("classifier", corpora=corpora, scarce_labels="allow"))
    assert {row.target for row in splits.training} == {"positive"}
    (training,) = (corpus for corpus in splits.report.corpora if corpus.role == "training")
    assert training.left_out["other_labels"] == 80
    assert len(splits.training) + len(splits.validation) + splits.report.near_duplicates == 80
    assert splits.report.near_duplicates > 0, "they differ in a number only"


@pytest.mark.parametrize("role", ["corpora", "validation", "tests"])
def test_rows_with_other_labels_stop_the_run_unless_asked(recipe, read, data, role):
    rows = (data / ("labelled.tsv" if role == "corpora" else "labelled.test.tsv")).read_text()
    (data / "own.tsv").write_text("neutral\tso so\nneutral\tmeh\n5\tfive\n" + rows)
    corpus = {**RECIPES["classifier"]["corpora"][0], "file": "own.tsv"}
    hold_out = {"hold_out": 0} if role == "validation" else {}
    with pytest.raises(DataError) as refusal:
        read(recipe("classifier", **{role: [corpus]}, **hold_out))
    assert str(refusal.value).startswith(
        "own.tsv: 3 rows have a label that the recipe does not name: 'neutral' (2), '5' (1); the first "
        "is own.tsv:1: so so"
    )
    assert "other_labels: leave_out" in str(refusal.value)
    asked = {**corpus, "other_labels": "leave_out"}
    assert len(read(recipe("classifier", **{role: [asked]}, **hold_out)).training) > 0


def test_labels_need_no_map_and_a_map_renames(recipe, read, data):
    rows = ["positive\tgood film", "positive\tfine cast", "negative\tweak plot", "negativ\tdull music"] * 5
    (data / "own.tsv").write_text("".join(f"{row} {n * 7919}\n" for n, row in enumerate(rows)))
    corpus = {"file": "own.tsv", "columns": ["label", "text"]}
    named = read(recipe("classifier", corpora=[{**corpus, "labels": {"negativ": "negative"}}], hold_out=2, tests=[]))
    assert {row.target for row in named.training} == {"positive", "negative"} == {*named.report.labels}
    assert sum(named.report.labels.values()) == len(named.training)
    with pytest.raises(DataError, match=r"own.tsv: 5 rows have a label that the recipe does not name: 'negativ' \(5\)"):
        read(recipe("classifier", corpora=[corpus], hold_out=2, tests=[]))


def test_labels_that_a_recipe_does_not_name_are_those_of_its_training_data(recipe, data, tmp_path):
    classifier = recipe("classifier", labels=[], corpora=[RATED], tests=[])
    found = with_labels(classifier, data, tmp_path / "run")
    assert found.labels == ("2", "9")
    assert found.model_copy(update={"labels": ()}) == classifier
    (data / "rated.tsv").write_text("".join(f"{n}\ttext\n" for n in (10, 9, 1, 2)))
    assert with_labels(classifier, data, tmp_path / "run").labels == ("1", "2", "9", "10")
    translator = recipe("translator")
    assert with_labels(translator, data, tmp_path / "run") is translator


def test_a_column_of_texts_is_not_taken_for_one_of_labels(recipe, data, tmp_path):
    (data / "rated.tsv").write_text("".join(f"a text of its own, {n:04}\t5\n" for n in range(1001)))
    wrong = {"file": "rated.tsv", "columns": ["label", "text"]}
    with pytest.raises(
        DataError, match=r"rated.tsv: column 'label' has more than 1,000 values, such as 'a text of its o"
    ):
        with_labels(recipe("classifier", labels=[], corpora=[wrong], tests=[]), data, tmp_path / "run")


def test_a_single_label_stops_the_run_unless_asked(recipe, data, tmp_path):
    alone = {"labels": ["9"], "corpora": [{**RATED, "other_labels": "leave_out"}], "tests": []}
    with pytest.raises(DataError, match="'9' is the only label: there is nothing to tell it from"):
        with_labels(recipe("classifier", **alone), data, tmp_path / "run")
    asked = recipe("classifier", **alone, scarce_labels="allow")
    assert with_labels(asked, data, tmp_path / "run") == asked
    (data / "rated.tsv").write_text("9\tgood\n9\tfine\n")
    with pytest.raises(DataError, match="'9' is the only label"):
        with_labels(recipe("classifier", labels=[], corpora=[RATED], tests=[]), data, tmp_path / "run")


def test_a_label_with_fewer_than_two_examples_stops_the_run_unless_asked(recipe, read, data):
    with (data / "labelled.tsv").open("a") as file:
        file.write("positve\tquite another text\n")
    scarce = {"labels": ["negative", "positive", "positve", "mixed"]}
    with pytest.raises(DataError, match=r"fewer than 2 examples to train on, of 4: 'positve' \(1\), 'mixed' \(0\)"):
        read(recipe("classifier", **scarce))
    assert read(recipe("classifier", **scarce, scarce_labels="allow")).report.labels["positve"] == 1


def test_the_report_counts_by_corpus_and_reason_and_is_told_and_kept(recipe, read, data, tmp_path):
    with (data / "train.tsv").open("a") as file:
        file.write("nur eine Spalte\nquelque chose de tout à fait long et large\tno\nmot ? !\tword!\nMot\tword\n")
    lines: list[str] = []
    cleaning = {"duplicates": True, "max_length_ratio": 5, "min_characters": 3}
    report = read(recipe("translator", cleaning=cleaning), lines.append).report
    told = "\n".join(lines)
    (training,) = (corpus for corpus in report.corpora if corpus.role == "training")
    assert training.left_out == {"duplicates": 57, "min_characters": 1}
    assert training.examples["min_characters"].startswith(
        "train.tsv:114: quelque chose de tout à fait long et large | no"
    )
    assert training.broken_first == ["train.tsv:113: 1 column, expected 2: fr, en"]
    assert "train.tsv (training): 115 rows, 57 kept" in told
    assert "57  duplicates (is there already), such as train.tsv:57: le chat et le chat | the cat and the cat" in told
    assert "1  broken (cannot be read), such as train.tsv:113: 1 column" in told
    assert "114 examples an epoch, 4 for validation" in told
    kept = json.loads((tmp_path / "run" / "report.json").read_text())
    assert kept == report.to_dict()
    assert Report.from_dict(kept) == report


def test_broken_rows_of_a_test_file_are_reported_too(recipe, read, data):
    with (data / "test.tsv").open("a") as file:
        file.write("only French\n")
    report = read(recipe("translator")).report
    (test,) = (corpus for corpus in report.corpora if corpus.role == "test")
    assert (test.rows, test.broken) == (4, 1)
    assert report.broken == 1


def test_held_out_rows_are_never_cleaned(recipe, read):
    splits = read(recipe("generator", cleaning={"min_characters": 12}))
    assert min(len(row.target) for row in splits.validation) < 12
    assert min(len(row.target) for row in splits.training) >= 12


def test_what_is_there_is_opened_and_read_anew_when_the_recipe_or_a_file_changes(recipe, read, data, monkeypatch):
    said: list[str] = []
    first = read(recipe("generator"), said.append)
    assert said
    with monkeypatch.context() as patch:
        patch.setattr(module, "_Preparation", None)  # nothing is read
        again = read(recipe("generator", training={**recipe("generator").training.__dict__, "steps": 99}), said.clear)
        assert list(again.training) == list(first.training)
        assert (again.validation, again.report) == (first.validation, first.report)
        with pytest.raises(TypeError):
            read(recipe("generator", seed=2))
        os.utime(data / "rated.tsv", ns=(1, 1))
        with pytest.raises(TypeError):
            read(recipe("generator"))
    assert len(list(read(recipe("generator")).training)) == len(first.training)


def test_a_reading_that_fails_leaves_nothing_that_is_taken_for_whole(recipe, read, data):
    whole = (data / "rated.tsv").read_text()
    (data / "rated.tsv").write_text(whole + "broken\n" * 200)
    with pytest.raises(DataError, match=r"rated.tsv: 101 rows so far cannot be read, at most 100 are left out"):
        read(recipe("generator"))
    (data / "rated.tsv").write_text(whole)
    assert len(read(recipe("generator")).training) > 0


def test_a_column_can_be_written_of_a_file_that_comes_with_the_shipped_recipes(recipe, data, tmp_path):
    phrases = {"file": "phrases.fr-en-ko.tsv", "columns": ["fr", "_", "_"], "limit": 20}
    written = {**phrases, "written": {"en": "fr"}, "directions": ["fr-en"]}
    chosen = recipe("translator", corpora=[written], distillation={"teachers": ["any"]})
    backwards = Writing(
        lambda: nullcontext(lambda texts, direction: [text[::-1] for text in texts]), tmp_path / "written", "key"
    )
    rows = list(read_splits(chosen, data, tmp_path / "run", quiet, backwards).training)
    assert rows
    assert all(row.target == row.source[::-1] for row in rows)


def test_missing_data_is_named(recipe, tmp_path):
    with pytest.raises(DataError, match=r"rated.tsv: no such file; the recipe's files are relative to the data folder"):
        read_splits(recipe("generator"), tmp_path, tmp_path / "run", quiet)


def test_a_script_for_a_column_that_is_not_there_is_named(recipe, read):
    with pytest.raises(DataError, match=r"cleaning.scripts: no corpus has a column 'kr'; there are en, fr"):
        read(recipe("translator", cleaning={"scripts": {"kr": "Hangul"}}))


def test_a_data_folder_that_is_moved_is_not_read_again(recipe, data, tmp_path, monkeypatch):
    first = read_splits(recipe("generator"), data, tmp_path / "run", quiet)
    data.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(module, "_Preparation", None)
    again = read_splits(recipe("generator"), tmp_path / "elsewhere", tmp_path / "run", quiet)
    assert again.training.key == first.training.key


def test_nothing_left_to_train_on_is_an_error_that_tells_why(recipe, read):
    with pytest.raises(DataError, match=r"(?s)0 training and 16 validation rows.*min_characters \(is too short\)"):
        read(recipe("generator", cleaning={"min_characters": 1000}))


def test_every_format_gives_the_same_rows(recipe, data, tmp_path):
    import pyarrow
    import pyarrow.parquet

    lines = [line.split("\t") for line in (data / "train.tsv").read_text().splitlines()]
    french, english = [row[0] for row in lines], [row[1] for row in lines]
    pyarrow.parquet.write_table(pyarrow.table({"en": english, "fr": french}), data / "train.parquet", row_group_size=50)
    objects = [json.dumps({"fr": f, "en": e}) for f, e in lines]
    (data / "train.jsonl").write_text("\n".join(objects))
    (data / "train.fr").write_text("\n".join(french))
    (data / "train.en").write_text("\n".join(english))
    (data / "fra.txt").write_text("".join(f"{e}\t{f}\tCC-BY 2.0\n" for f, e in lines))
    common = {"directions": ["fr-en", "en-fr"], "columns": ["fr", "en"]}
    corpora = [
        {"file": "train.tsv", **common},
        {"file": "train.parquet", **common},
        {"file": "train.jsonl", **common},
        {"files": {"en": "train.en", "fr": "train.fr"}, **common, "columns": ["en", "fr"]},
        {"file": "fra.txt", "format": "anki", **common, "columns": ["en", "fr"]},
    ]
    found = [
        list(
            read_splits(
                recipe("translator", corpora=[corpus]),
                data,
                tmp_path / str(n),
                quiet,
            ).training
        )
        for n, corpus in enumerate(corpora)
    ]
    assert len(found[0]) > 100
    assert all(rows == found[0] for rows in found)


def peak(work) -> int:
    """Bytes that Python and numpy hold at most while `work` runs."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_corpus(recipe, data, tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "_AHEAD", 256)
    tokenizer = train_byte_bpe([], 300, control_tokens=["<rating:9>"])
    chosen = recipe("generator", cleaning={"duplicates": True})

    def write(rows: int) -> int:
        texts = ("".join(map(chr, np.random.default_rng(n).integers(0x4E00, 0x9FFF, 200))) for n in range(rows))
        return (data / "rated.tsv").write_text("".join(f"9\t{text}\n" for text in texts), encoding="utf-8")

    def prepare(run: Path) -> None:
        splits = read_splits(chosen, data, run, quiet)
        found = encode(chosen, tokenizer, splits.training, (1000, 1000), run / "ids")
        assert sum(len(example.target) for example in found) > 300 * len(splits.training)
        assert sum(1 for _ in splits.training) == len(found)

    size = write(800)
    small = peak(lambda: prepare(tmp_path / "small"))
    growth = 3 * write(4800) - 3 * size  # bytes of text
    large = peak(lambda: prepare(tmp_path / "large"))
    assert large - small < 0.1 * growth, "only sizes and hashes grow"


def test_the_spooled_rows_depend_on_the_data_fields_alone_and_on_what_of_them_is_stated(recipe, read):
    fields = {"task", "seed", "corpora", "validation", "hold_out", "tests", "labels", "scarce_labels", "control"}
    fields |= {"packing", "next_sentence", "cleaning"}
    assert {*RunFields.model_fields, *DataFields.model_fields} - {"name"} == fields
    first = read(recipe("generator"))
    stated = recipe("generator", scarce_labels="stop", cleaning={"min_characters": 1}, licence="MIT")
    assert read(stated).training.key == first.training.key
    for changes in ({"seed": 2}, {"hold_out": 3}, {"control": None}, {"cleaning": {"min_characters": 2}}):
        assert read(recipe("generator", **changes)).training.key != first.training.key
