from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from models.training.evaluation.resampling import Proportion, wilson
from models.training.evaluation.robustness import Tally, Verdict, report, run_suite, together
from models.training.evaluation.suite import Case

HELLO = Case(kind="greeting", source="Bonjour", accept="Hello")
TIRED = Case(kind="capitals", source="JE SUIS FATIGUÉ", accept="I am tired")
DOTS = Case(kind="empty", source="...")
SMILE = Case(kind="empty", source="🙂", copied=("🙂",))
SPACE = Case(kind="empty", source=" ")
PRICE = Case(kind="copied", source="Il coûte 249 euros.", words=("cost|costs",), copied=("249",))


@pytest.mark.parametrize(
    ("case", "output", "failures"),
    [
        (HELLO, "Hello!", []),
        (HELLO, "Il joue.", ["wrong"]),
        (HELLO, "", ["wrong"]),
        (HELLO, None, ["wrong"]),  # refused although it has words
        (TIRED, "I am IIIIIIIIII", ["loops"]),
        (DOTS, "...", []),
        (DOTS, "", []),
        (DOTS, "Think about it.", ["invents"]),
        (SPACE, None, []),  # refused, as the service does
        (SPACE, "No.", ["invents"]),
        (SMILE, "🙂", []),
        (SMILE, "", ["lost a piece"]),
        (SMILE, "Red to walk", ["invents", "lost a piece"]),
        (PRICE, "It costs 249 euros.", []),
        (PRICE, "It costs 294 euros.", ["lost a piece"]),
        (PRICE, "There are 249 euros.", ["wrong"]),
    ],
)
def test_an_output_is_right_where_nothing_is_wrong(case: Case, output: str | None, failures: list[str]) -> None:
    verdict = Verdict.of(case, output)
    assert verdict.failures == failures
    assert verdict.right == (not failures)


@pytest.fixture
def tally() -> Tally:
    outputs = ["Hello", "EEEEEEEEEE", "Well.", None, "🙂", "It costs 24 euros."]
    cases = [HELLO, TIRED, DOTS, SPACE, SMILE, PRICE]
    return Tally(tuple(map(Verdict.of, cases, outputs)))


def test_shares_are_of_the_cases_that_can_have_them(tally: Tally) -> None:
    assert tally.right == Proportion(3, 6)
    assert tally.only("greeting", "capitals").right == Proportion(1, 2)
    assert tally.looping == Proportion(1, 6)
    assert tally.inventing == Proportion(1, 3)  # of those without words
    assert tally.copied == Proportion(1, 2)  # of those with something to copy
    assert {kind: of_kind.right for kind, of_kind in tally.by_kind.items()} == {
        "greeting": Proportion(1, 1),
        "capitals": Proportion(0, 1),
        "copied": Proportion(0, 1),
        "empty": Proportion(2, 3),
    }


def test_loops_come_first_among_what_is_wrong(tally: Tally) -> None:
    assert [verdict.failures for verdict in tally.wrong] == [["loops"], ["invents"], ["lost a piece"]]


def test_a_manifest_keeps_shares_with_wilsons_intervals(tally: Tally) -> None:
    found = tally.to_dict()
    assert (found["cases"], found["right"], found["loops"]) == (6, 0.5, 0.1667)
    assert found["of"]["copied"] == 2
    assert found["intervals"]["loops"] == [round(bound, 4) for bound in wilson(1, 6)]
    assert set(tally.only("greeting").to_dict()) == {
        "cases", "right", "greetings_and_capitals", "loops", "of", "intervals",
    }  # fmt: skip
    assert Proportion(0, 0).interval == (0.0, 1.0)


def test_cases_that_the_training_text_has_are_told_apart() -> None:
    def unseen(language: str, texts: Sequence[str]) -> list[bool]:
        assert language == "fr"
        return [text != "Bonjour" for text in texts]

    found = run_suite({("fr", "en"): [HELLO, TIRED, PRICE]}, lambda *_: ["Hello", "I am tired", "No."], unseen)
    [tally] = found.values()
    assert (tally.right, tally.unseen.right) == (Proportion(2, 3), Proportion(1, 2))
    written = report(found)
    assert (written["all"]["right_unseen"], written["all"]["of"]["right_unseen"]) == (0.5, 2)
    assert [each["unseen"] for each in written["fr-en"]["outputs"]] == [False, True, True]


def test_each_direction_is_asked_at_once_and_reported_with_its_outputs() -> None:
    asked = []

    def answer(texts: Sequence[str], source: str, target: str) -> list[str | None]:
        asked.append((list(texts), source, target))
        return ["Hello" if target == "en" else None for _ in texts]

    found = run_suite({("fr", "en"): [HELLO, TIRED], ("en", "fr"): [SPACE]}, answer)
    assert asked == [(["Bonjour", "JE SUIS FATIGUÉ"], "fr", "en"), ([" "], "en", "fr")]
    assert together(found).right == Proportion(2, 3)
    written = json.loads(json.dumps(report(found)))
    assert written["all"]["cases"] == 3
    assert written["fr-en"]["by_kind"]["capitals"]["right"] == 0.0
    assert written["en-fr"]["outputs"] == [
        {"kind": "empty", "source": " ", "output": None, "right": True, "failures": []}
    ]
