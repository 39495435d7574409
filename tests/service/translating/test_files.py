from __future__ import annotations

from pathlib import Path

import pytest

from service.translating.files import Job, plan, renamed, write

PAIR = ("fr", "en")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.md", "a.en.md"), ("a.fr.md", "a.en.md"), ("a.b.md", "a.b.en.md"), ("a", "a.en"), ("a.fr", "a.en.fr")],
)
def test_a_name_has_the_target_language_before_its_ending(name: str, expected: str) -> None:
    assert renamed(name, PAIR) == expected


@pytest.mark.parametrize(("name", "expected"), [("a.md", "a.md"), ("a.fr.md", "a.en.md")])
def test_within_a_folder_of_its_own_a_name_stays(name: str, expected: str) -> None:
    assert renamed(name, PAIR, always=False) == expected


def test_several_files_and_folders_go_into_the_output_folder(tmp_path: Path) -> None:
    for name in ("a.txt", "docs/b.md", "docs/sub/c.fr.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    out = tmp_path / "out"
    planned = plan([tmp_path / "a.txt", tmp_path / "docs"], out, PAIR)
    assert planned.jobs == (
        Job(tmp_path / "a.txt", out / "a.en.txt"),
        Job(tmp_path / "docs/b.md", out / "docs/b.md"),
        Job(tmp_path / "docs/sub/c.fr.txt", out / "docs/sub/c.en.txt"),
    )


@pytest.mark.parametrize("language", ["../en", "", "e/n", "en.md"])
def test_a_language_that_would_lead_elsewhere_is_refused(tmp_path: Path, language: str) -> None:
    with pytest.raises(ValueError, match="is no language"):
        plan([tmp_path], None, ("fr", language))


def test_one_file_goes_where_it_is_told_or_into_a_folder(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.touch()
    (tmp_path / "there").mkdir()
    for to, place in (("b.txt", "b.txt"), ("there", "there/a.en.txt"), ("new/", "new/a.en.txt")):
        assert plan([source], f"{tmp_path}/{to}", PAIR).jobs == (Job(source, tmp_path / place),)


def test_an_output_within_the_folder_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "a.txt").touch()
    assert plan([tmp_path], tmp_path / "en", PAIR).jobs == (Job(tmp_path / "a.txt", tmp_path / "en" / "a.txt"),)


def test_a_file_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "a", b"one")
    write(tmp_path / "sub" / "a", b"two")
    assert {path.name: path.read_bytes() for path in (tmp_path / "sub").iterdir()} == {"a": b"two"}
