"""Glossaries in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import InvalidRequest
from service.gateway.glossaries import named, read_glossaries, used


def written(folder: Path, content: bytes) -> dict[str, Path]:
    (folder / "g.tsv").write_bytes(content)
    return {"g": folder / "g.tsv"}


def test_each_line_is_an_entry_but_comments_and_empty_ones(tmp_path: Path) -> None:
    content = "\ufeff# ours\nchat\tfeline\r\n\n le chien \t the hound \nchat\tfeline\n".encode()
    assert read_glossaries(written(tmp_path, content)) == {"g": (("chat", "feline"), ("le chien", "the hound"))}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\nchat feline\n", "g.tsv, line 2 is 'chat feline', expected a source, a tab and a target"),
        (b"a\tb\tc\n", "line 1 is 'a\\tb\\tc', expected"),
        (b"a\t \n", "line 1 is 'a\\t ', expected"),
        (b"a\tb\na\tc\n", "line 2: 'a' is 'c' and was 'b' before"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_told_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError) as told:
        read_glossaries(written(tmp_path, content))
    assert message in str(told.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.tsv cannot be read"):
        read_glossaries({"g": tmp_path / "nowhere.tsv"})


def test_one_that_is_asked_for_by_a_name_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    assert named({"a": (("chat", "cat"),)}, "a", "glossary") == (("chat", "cat"),)
    with pytest.raises(InvalidRequest, match='glossary is "c"; available: a, b'):
        named({"b": (), "a": ()}, "c", "glossary")


def test_entries_travel_only_where_a_text_has_their_source() -> None:
    entries = (("chat", "cat"), ("le  chien", "the hound"), ("souris", "mouse"))
    assert used(entries, ["Un CHAT", "Voici Le\nchien"]) == entries[:2]
    assert used((), ["a"]) == ()
