from __future__ import annotations

from pathlib import Path

from service.documents.document import Text
from service.translating.journal import Journal
from service.translating.translator import Translation

UN = Text("un", "text", "line 1")
ONE = Translation("one", "length")


def test_what_is_added_is_there_when_it_is_opened_again_for_the_same_settings_and_text(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    journal = Journal(path, "beams 1")
    journal.add(UN, ONE)
    journal.close()
    assert Journal(path, "beams 1").get(Text("un", "text", "line 7")) == ONE
    assert Journal(path, "beams 2").get(UN) is None
    assert Journal(path, "beams 1").get(Text("un", "html", "line 1")) is None


def test_a_line_that_was_cut_off_is_passed_over_and_written_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    path.write_text('{"digest": "12", "transl')
    journal = Journal(path, "")
    journal.add(UN, ONE)
    journal.close()
    assert Journal(path, "").get(UN) == ONE


def test_without_a_path_nothing_is_kept_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    Journal(None, "").add(UN, ONE)
    journal = Journal(tmp_path / "a.part", "")
    journal.add(UN, ONE)
    journal.remove()
    assert list(tmp_path.iterdir()) == []
