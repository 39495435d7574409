from __future__ import annotations

import pytest
from rich.console import Console

from models.training.evaluation.likelihood import Likelihood
from models.training.evaluation.metrics import Confusion, reliability
from service.scoring.answers import Answers
from service.scoring.evaluating import ClassificationResult, TextResult
from service.scoring.tables import show_classification, show_texts
from tests.service.scoring.conftest import shown


def classified(given: list[str], expected: list[str], labels: list[str]) -> ClassificationResult:
    right = [a == b for a, b in zip(given, expected, strict=True)]
    names = ("accuracy", "macro_f1", "calibration_error")
    return ClassificationResult(
        scores={**dict.fromkeys(names, 0.5), "intervals": {name: [0.25, 0.75] for name in names}},
        confusion=Confusion.of(given, expected, labels),
        reliability=reliability([0.9] * len(given), right),
        found=Answers([], seconds=1.0),
    )


def test_a_few_labels_are_shown_as_a_matrix_and_the_worst_one_first(console: Console) -> None:
    show_classification(classified(["a", "a", "a", "b", "c"], ["a", "a", "b", "b", "c"], ["a", "b", "c"]), console)
    by_label = shown(console).split("By label")[1].split("Confusion")[0]
    assert [line.split()[0] for line in by_label.splitlines() if line.strip()[:1] in ("a", "b", "c")] == ["b", "a", "c"]
    assert "is \\ was called" in shown(console)
    assert "0.87-0.93" in shown(console)


def test_of_many_labels_only_the_most_frequent_confusions_are(console: Console) -> None:
    labels = [f"l{n}" for n in range(30)]
    given = [*labels, "l1", "l1", "l2"]
    expected = [*labels, "l0", "l0", "l0"]
    show_classification(classified(given, expected, labels), console)
    table = shown(console).split("The most frequent confusions")[1].split("Reliability")[0]
    rows = [line.split() for line in table.splitlines() if line.strip().startswith("l")]
    assert rows == [["l0", "l1", "2"], ["l0", "l2", "1"]]


@pytest.mark.parametrize(("windows", "said"), [(2, False), (3, True)])
def test_windows_are_mentioned_where_a_text_took_more_than_one(console: Console, windows: int, said: bool) -> None:
    result = TextResult(
        scores={
            "texts": 2,
            "bits_per_byte": 1.0,
            "perplexity": 7.4,
            "intervals": {"bits_per_byte": [0.5, 1.5], "perplexity": [2, 9]},
        },
        likelihood=Likelihood([4.0, 6.0], [2, 3], windows),
        bytes=20,
        seconds=1.0,
    )
    show_texts(result, console)
    assert ("longer than the model reads" in shown(console)) is said


def test_labels_with_brackets_are_shown_as_they_are(console: Console) -> None:
    show_classification(classified(["[red]"], ["[red]"], ["[red]"]), console)
    assert "[red]" in shown(console)
