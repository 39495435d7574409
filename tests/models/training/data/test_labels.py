from __future__ import annotations

import pytest

from models.training.data.labels import MOST_LABELS, check_others, label_of, labels_found
from models.training.data.readers import DataError
from models.training.sections import Corpus

CORPUS = Corpus(file="a.tsv", columns=("label", "text"), labels={"0": "negative"})


def found(*labels: str) -> tuple[str, ...]:
    return labels_found((label, CORPUS) for label in labels)


def test_a_value_is_its_own_label_unless_the_corpus_renames_it() -> None:
    assert (label_of(CORPUS, " 0 "), label_of(CORPUS, " odd ")) == ("negative", "odd")


def test_labels_that_are_found_are_in_the_order_of_numbers_or_of_the_alphabet() -> None:
    assert found("10", "9", "2") == ("2", "9", "10")
    assert found("10", "9", "b") == ("10", "9", "b")


def test_a_column_of_texts_is_no_column_of_labels() -> None:
    with pytest.raises(DataError, match=r"^a.tsv: column 'label' has more than 1,000 values, such as 'text 0'"):
        found(*(f"text {number}" for number in range(MOST_LABELS + 1)))


def test_rows_of_labels_that_nobody_names_are_counted_and_the_first_is_shown() -> None:
    with pytest.raises(DataError, match=r"5 rows have a label .*: 'odd' \(3\), 'even' \(2\); the first is a.tsv:7: x"):
        check_others(CORPUS, {"even": 2, "odd": 3}, "a.tsv:7: x")
    check_others(CORPUS, {}, "")
    check_others(CORPUS.model_copy(update={"other_labels": "leave_out"}), {"odd": 3}, "a.tsv:7: x")
