"""What stands between the sentences of a translation."""

from __future__ import annotations

import pytest

from service.worker.tasks.joining import between


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", " "), ("kor_Hang", " "), ("ja", ""), ("zh-TW", ""), ("zho_Hans", ""), ("jpn_Jpan", ""), ("th_TH", "")],
)
def test_languages_without_spaces_have_none_between_sentences_however_they_are_called(
    language: str, expected: str
) -> None:
    assert between(" ", language) == between("", language) == expected
    assert between("\n\n", language) == "\n\n"
