"""Which terms of a glossary a sentence has."""

from __future__ import annotations

import pytest

from service.worker.segments.glossary import Glossary, Term

GLOSSARY = Glossary(
    [
        ("chat", "feline"),
        ("chat noir", "black panther"),
        ("Chat", "Chat™"),
        ("souris", "mouse"),
        ("API", "API"),
        ("C++", "C++"),
        ("서버", "server"),
    ]
)


@pytest.mark.parametrize(
    ("sentence", "terms"),
    [
        ("Le chat dort.", ["feline"]),
        ("Le chat noir et le chat dorment.", ["black panther", "feline"]),
        ("Les chats, achat, chat_x", []),
        ("Chat est un logiciel.", ["Chat™"]),
        ("LE CHAT DORT", ["feline"]),
        ("Une api en C++.", ["API", "C++"]),
        ("서버를 껐다", ["server"]),
        ("웹서버를 껐다", []),
        ("Rien.", []),
    ],
)
def test_whole_words_are_found_the_longest_and_the_same_case_first(sentence: str, terms: list[str]) -> None:
    assert [term.target for term in GLOSSARY.terms(sentence)] == terms


def test_a_term_that_begins_a_sentence_may_begin_the_translation() -> None:
    assert list(GLOSSARY.terms("Souris !")) == [Term(0, 6, "mouse", "Mouse")]
    assert list(GLOSSARY.terms("la souris")) == [Term(3, 9, "mouse", "mouse")]


def test_white_space_in_an_entry_does_not_matter() -> None:
    assert list(Glossary([(" chat \n noir", "black  cat ")]).terms("chat noir")) == [
        Term(0, 9, "black cat", "black cat")
    ]


def test_an_empty_glossary_has_nothing() -> None:
    assert list(Glossary([]).terms("chat")) == []
