from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from rich.console import Console

from loadtests.bench import segmentation
from loadtests.bench.cli import main
from loadtests.bench.segmentation import LIBRARIES, SOURCES, Library, Source, ends, measured, read, texts

SENTENCES = ["M. Martin est là.", "Il dort.", "Où est Tom ?", "Je ne sais pas !", "Elle a dit : « Viens. »"]
FRENCH = Source("French", "fr", "french.tsv", 0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for source in SOURCES:
        (tmp_path / source.file).write_text("".join(f"{each}\t{each}\n" for each in SENTENCES * 4), encoding="utf-8")
    return tmp_path


def test_an_end_is_where_it_is_whatever_becomes_of_white_space() -> None:
    assert ends(["Il dort.", "Oui."]) == ends(["Il  dort. ", " Oui.\n"]) == {7}
    assert ends(["one"]) == set()


def test_each_sentence_is_in_one_text_of_two_to_six() -> None:
    sentences = [str(number) for number in range(100)]
    found = texts(sentences)
    assert [each for text in found for each in text] == sentences
    assert {len(text) for text in found[:-1]} == {2, 3, 4, 5, 6}


def test_headings_halves_and_long_lines_are_no_sentences(tmp_path: Path) -> None:
    path = tmp_path / "french.tsv"
    path.write_text(f"Chapitre un\tx\n{'a' * 400}.\tx\nIl dort.\tx\nIl dit : «Non.»\tx\nOui !\tx\n", encoding="utf-8")
    assert sorted(read(FRENCH, path, 9)) == ["Il dit : «Non.»", "Il dort.", "Oui !"]


def test_running_text_keeps_its_order_and_other_sentences_are_mixed_the_same_way_each_time(data: Path) -> None:
    path = data / "numbers.tsv"
    path.write_text("".join(f"Phrase {number}.\n" for number in range(50)), encoding="utf-8")
    running = read(Source("", "fr", "", 0, running=True), path, 10)
    assert running == [f"Phrase {number}." for number in range(10)]
    assert read(FRENCH, path, 10) == read(FRENCH, path, 10) != running


def test_precision_counts_what_is_no_end_and_recall_what_was_not_found() -> None:
    known = [["Il dort.", "Elle part. ", "Oui."]]
    words = Library("words", lambda language: str.split)
    none = Library("none", lambda language: lambda text: [text])
    halves = Library("halves", lambda language: lambda text: ["Il dort.", "Elle", "part. Oui."])
    assert measured(FRENCH, words, known).recall == 1
    assert measured(FRENCH, words, known).precision == pytest.approx(2 / 4)
    assert measured(FRENCH, none, known).f1 == 0
    assert measured(FRENCH, halves, known).f1 == pytest.approx(1 / 2)


def test_ours_finds_what_a_regular_expression_does_not() -> None:
    ours, regular = LIBRARIES[:2]
    assert measured(FRENCH, ours, [SENTENCES]).f1 == 1
    assert measured(FRENCH, regular, [SENTENCES]).f1 < 1


def test_the_table_names_what_is_not_installed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Library("absent", lambda language: str.split, "triptych_absent")
    korean = Library("korean", lambda language: str.split, languages=("ko",))
    monkeypatch.setattr(segmentation, "LIBRARIES", (*LIBRARIES[:2], absent, korean))
    console, figures = Console(record=True, width=160), tmp_path / "figures.json"
    main(["segmentation", "--data", str(data), "--sentences", "10", "--json", str(figures)], console)
    shown, written = console.export_text(), json.loads(figures.read_text())
    assert "not installed: absent" in shown
    assert re.search(r"ours +(1\.000 +){8}", shown)
    assert re.search(r"korean +(0\.\d+ +){3}", shown)
    assert re.search(r"sentences +(10 +){8}", shown)
    assert written["not_installed"] == ["absent"]
    measured = {(each["source"], each["library"]) for each in written["measured"]}
    assert ("news ko", "korean") in measured
    assert ("Tatoeba fr", "korean") not in measured


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        main(["segmentation", "--data", str(tmp_path / "none")], Console())
    path = tmp_path / "empty.tsv"
    path.write_text("Titre\n", encoding="utf-8")
    with pytest.raises(ValueError, match="column 1 has no sentence"):
        read(FRENCH, path, 1)


def test_two_runs_read_the_same_texts() -> None:
    sentences = [str(random.random()) for _ in range(20)]
    assert texts(sentences) == texts(sentences)
