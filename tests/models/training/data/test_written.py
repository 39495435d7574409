from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.training.data import written as module
from models.training.data.readers import DataError, Record
from models.training.data.written import Writing, written
from models.training.sections import Corpus

CORPUS = Corpus(file="some.tsv", columns=("_", "en"), directions=("ko-en",), written={"ko": "en"})


class Hired:
    """Says a text backwards, and nothing where it is `dull`; counts what it was asked."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.asked: list[str] = []
        self.hired, self._dies_after = 0, dies_after

    @contextmanager
    def __call__(self) -> Iterator:
        self.hired += 1

        def write(texts: Sequence[str], direction: tuple[str, str]) -> list[str]:
            assert direction == ("en", "ko")
            if self._dies_after is not None and len(self.asked) >= self._dies_after:
                raise KeyboardInterrupt
            self.asked += texts
            return ["" if text == "dull" else text[::-1] for text in texts]

        yield write


def run(texts: Sequence[str], hired: Hired, folder: Path, key: str = "teacher", stamp: int = 1) -> list[dict[str, str]]:
    records = (Record({"en": text}, line) for line, text in enumerate(texts, start=1))
    return [r.values for r in written(CORPUS, stamp, records, Writing(hired, folder, key), lambda line: None)]


@pytest.fixture(autouse=True)
def four_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_A_TIME", 4)


def test_a_column_is_written_and_a_record_of_which_nothing_could_be_is_left_out(tmp_path: Path) -> None:
    found = run(["abc", "dull", "de"], Hired(), tmp_path)
    assert found == [{"en": "abc", "ko": "cba"}, {"en": "de", "ko": "ed"}]


def test_what_was_written_is_read_and_nobody_hired_again(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(10)]
    first = run(texts, Hired(), tmp_path)
    again = Hired()
    assert run(texts, again, tmp_path) == first
    assert again.hired == 0


def test_an_interrupted_writing_goes_on_where_it_was_even_after_half_a_line(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(10)]
    with pytest.raises(KeyboardInterrupt):
        run(texts, Hired(dies_after=4), tmp_path)
    (file,) = tmp_path.iterdir()
    with file.open("a") as half:
        half.write('"half a li')
    again = Hired()
    assert [values["ko"] for values in run(texts, again, tmp_path)] == [text[::-1] for text in texts]
    assert again.asked == texts[4:]


@pytest.mark.parametrize("other", [{"key": "another teacher"}, {"stamp": 2}])
def test_another_teacher_or_file_is_written_anew(tmp_path: Path, other: dict) -> None:
    run(["abc"], Hired(), tmp_path)
    again = Hired()
    run(["abc"], again, tmp_path, **other)
    assert again.asked == ["abc"]


def test_without_anybody_to_write_it_says_so() -> None:
    with pytest.raises(DataError, match=r"some.tsv .*nobody is there to write column 'ko'"):
        list(written(CORPUS, 1, iter([]), None, lambda line: None))
