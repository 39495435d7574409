"""Words that are put where the alignment says."""

from __future__ import annotations

import re

import pytest

from service.messages import Alignment
from service.worker.segments.glossary import Term
from service.worker.segments.placing import Placed, place
from service.worker.segments.protection import Hidden
from service.worker.segments.wanted import Wanted


def alignment(source: str, target: str, pairs: dict[str, str]) -> Alignment:
    """Each word of the target with the one of the source that it looked at; the others looked at the tag."""
    sources = ("", *re.findall(r" ?[^ ]+", source), "")
    targets = (*re.findall(r" ?[^ ]+", target), "")
    rows = []
    for token in targets:
        looked = pairs.get(token.strip())
        rows.append(
            tuple(float(looked == each.strip() if looked else number == 0) for number, each in enumerate(sources))
        )
    return Alignment(source_tokens=sources, target_tokens=targets, weights=tuple(rows))


SOURCE, TARGET = "Le chat noir dort", "The black cat sleeps"
ALIGNED = alignment(SOURCE, TARGET, {"The": "Le", "black": "noir", "cat": "chat", "sleeps": "dort"})


def placed(word: str, text: str) -> Placed:
    start = SOURCE.index(word)
    return Placed(start, start + len(word), text, text.capitalize())


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        ("chat", "feline", "The black feline sleeps"),
        ("noir", "dark", "The dark cat sleeps"),
        ("Le", "one", "One black cat sleeps"),
        ("chat noir", "panther", "The panther sleeps"),
    ],
)
def test_a_word_is_put_in_the_place_of_those_that_are_aligned_with_it(word: str, text: str, expected: str) -> None:
    found, after = place(TARGET, [placed(word, text)], ALIGNED)
    assert found == expected == "".join(after.target_tokens)


def test_several_are_put_at_once_and_two_in_one_place_behind_each_other() -> None:
    assert place(TARGET, [placed("chat", "feline"), placed("dort", "naps")], ALIGNED)[0] == "The black feline naps"
    assert place(TARGET, [placed("chat", "feline"), placed("chat", "pet")], ALIGNED)[0] == "The black feline pet sleeps"


def test_what_stands_before_the_aligned_part_stays() -> None:
    assert (
        place(f"So. {TARGET}", [placed("chat", "feline")], ALIGNED, before="So. ")[0] == "So. The black feline sleeps"
    )


def test_a_translation_without_words_has_them_at_its_end() -> None:
    empty = Alignment(source_tokens=("", "chat", ""), target_tokens=("",), weights=((0.0, 1.0, 0.0),))
    assert place("", [Placed(0, 4, "cat", "Cat")], empty)[0] == "cat"
    assert place("!", [Placed(0, 4, "cat", "Cat")], empty)[0] == "! cat"


def wanted(*terms: tuple[str, str]) -> Wanted:
    return Wanted(
        Hidden(SOURCE), tuple(Term(p.start, p.end, p.text, p.first) for p in (placed(*each) for each in terms))
    )


def test_what_is_said_already_is_not_put_anywhere() -> None:
    assert wanted(("chat", "cat")).finished(TARGET, ALIGNED) == TARGET
    assert wanted(("chat", "Cat")).finished(TARGET, ALIGNED) == TARGET
    assert wanted(("chat", "cat"), ("dort", "cat")).finished(TARGET, ALIGNED) == "The black cat cat"
    assert wanted(("chat", "ca")).finished(TARGET, ALIGNED) == "The black ca sleeps"


def test_a_stand_in_that_has_got_lost_is_put_in_its_place_and_becomes_its_original() -> None:
    hidden = Hidden("Le Tom noir dort", (("Tom", "a@b.fr"),))
    rows = alignment("Le Tom noir dort", TARGET, {"The": "Le", "black": "noir", "cat": "Tom", "sleeps": "dort"})
    assert Wanted(hidden).finished(TARGET, rows) == "The black a@b.fr sleeps"
    assert Wanted(hidden).finished("The Tom sleeps", rows) == "The a@b.fr sleeps"


def test_without_an_alignment_what_is_missing_stands_at_the_end() -> None:
    assert wanted(("chat", "feline")).finished(TARGET, None) == f"{TARGET} feline"
