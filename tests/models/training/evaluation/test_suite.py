from __future__ import annotations

from pathlib import Path

import pytest

from models.config import ConfigError
from models.training.evaluation.suite import Case, has_whole, read_suite


def greeting(**fields: object) -> Case:
    return Case(kind="greeting", source="Bonjour", **fields)  # type: ignore[arg-type]


def test_one_of_the_alternatives_is_the_whole_output() -> None:
    case = greeting(accept="Good (morning|day) | Hello( there|)")
    for output in ("Good morning.", "GOOD DAY!", "hello", "  Hello,   there ", "Goodmorning"):
        assert case.accepts(output), output
    for output in ("Good", "Good morning, sir", "Say hello.", "", "morning"):
        assert not case.accepts(output), output


def test_alternatives_may_be_nested_and_accents_count() -> None:
    case = greeting(accept="Je suis (très |)(fatigué|crevé)(e(s|)|)")
    assert case.accepts("Je suis fatiguées")
    assert case.accepts("Je suis très crevé !")
    assert not case.accepts("Je suis fatigue.")


def test_each_word_is_somewhere_in_the_output_and_whole() -> None:
    case = greeting(words=("cat|cats", "New (York|Jersey)"))
    assert case.accepts("In New York, he has a cat.")
    for output in ("In New York he is located.", "A cat", "scat, New York", "NewYorker cat"):
        assert not case.accepts(output), output


def test_ligatures_apostrophes_and_widths_make_no_difference() -> None:
    assert greeting(words=("soeur",)).accepts("Ma sœur")
    assert greeting(accept="I'm here").accepts("I’m here.")
    assert greeting(accept="17").accepts("17")


def test_a_korean_stem_goes_on_without_a_space() -> None:
    case = greeting(words=("고양이", "유로", "피곤|지쳤"))
    assert case.accepts("그 고양이가 249유로라서 피곤해요.")
    assert not case.accepts("그 고양이가 249유로라서 좋아요.")


@pytest.mark.parametrize(
    ("text", "piece", "whole"),
    [
        ("See https://example.com/a?b=1.", "https://example.com/a?b=1", True),
        ("See https://example.com/a?b=12.", "https://example.com/a?b=1", False),
        ("It costs 249.", "249", True),
        ("It costs 2490.", "249", False),
        ("It costs 1,249.", "249", False),
        ("It costs 249.5.", "249", False),
        ("249유로예요", "249", True),
        ("Python을 배워요", "Python", True),
        ("Pythonic", "Python", False),
        ("call get_user_id() first", "get_user_id()", True),
        ("call get_user_id () first", "get_user_id()", False),
        ("call my_get_user_id()", "get_user_id()", False),
        ("Hello {name}님", "{name}", True),
        ("open %s", "%s", True),
        ("open %sh", "%s", False),
        ("Thanks🙏!", "🙏", True),
        ("THE FILE", "the file", False),
    ],
)
def test_a_piece_is_copied_letter_by_letter_and_is_no_part_of_another(text: str, piece: str, whole: bool) -> None:
    assert has_whole(text, piece) is whole


def test_a_source_without_letters_and_digits_has_no_words() -> None:
    assert all(Case(kind="empty", source=source).wordless for source in (" ", "...", "🙂 !", ""))
    assert not greeting(accept="Hello").wordless


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "say what is right with accept, words or copied"),
        ({"accept": "Hello | Good (day"}, "cannot be read"),
        ({"accept": "Hello |"}, "also fits an output without words"),
        ({"words": ("",)}, "also fits an output without words"),
        ({"copied": ("jour",)}, "does not have 'jour', which is to be copied from it"),
    ],
)
def test_a_case_that_could_not_fail_is_refused(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        greeting(**fields)


def written(folder: Path, text: str, name: str = "fr-en.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_suite_is_a_folder_of_directions_or_one_of_its_files(tmp_path: Path) -> None:
    written(tmp_path, "greeting: [{source: Bonjour, accept: Hello}]\nempty: [{source: '...'}]")
    written(tmp_path, "word: [{source: cat, accept: chat}]", "en-fr.yaml")
    suite = read_suite(tmp_path)
    assert [(pair, [case.kind for case in cases]) for pair, cases in suite.items()] == [
        (("en", "fr"), ["word"]),
        (("fr", "en"), ["greeting", "empty"]),
    ]
    assert read_suite(tmp_path / "en-fr.yaml") == {("en", "fr"): suite["en", "fr"]}


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("greeting: [{source: Bonjour}]", "fr-en.yaml", r"fr-en.yaml: 'Bonjour' has words"),
        (
            "greetings: [{source: a, accept: b}]",
            "fr-en.yaml",
            r"greetings\[1\].kind is 'greetings', expected 'greet",
        ),
        (
            "word: [{source: a, accept: b}, {source: 2}]",
            "fr-en.yaml",
            r"word\[2\].source is 2, expected a valid str",
        ),
        ("word: [a]", "fr-en.yaml", r"word\[1\] is 'a', expected a mapping"),
        ("word: [{source: a, accepts: b}]", "fr-en.yaml", "no field 'accepts'"),
        ("- {source: a}", "fr-en.yaml", "expected lists of cases by their kind"),
        ("word: []", "fr-en.yaml", "has no cases"),
        ("word: [", "fr-en.yaml", "not YAML"),
        ("word: [{source: a, accept: b}]", "french.yaml", "its name is no direction, such as fr-en.yaml"),
        ("", "README.md", "has no file of cases"),
    ],
)
def test_the_message_says_which_file_and_which_case(tmp_path: Path, text: str, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_suite(written(tmp_path, text, name))


def test_a_suite_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing does not exist"):
        read_suite(tmp_path / "missing")
