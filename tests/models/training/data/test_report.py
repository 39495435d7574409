from __future__ import annotations

import json

from models.training.data.report import CorpusReport, Report


def report() -> Report:
    corpus = CorpusReport("a.tsv", "training", rows=10, repeat=2)
    for reason in ("duplicates", "blocked", "duplicates"):
        if corpus.leave_out(reason):
            corpus.examples[reason] = f"a.tsv:{reason}"
    return Report([corpus, CorpusReport("b.tsv", "test", rows=3, broken=1, broken_first=["b.tsv:2: x"])], 14, 3)


def test_only_the_first_row_of_a_reason_is_one_to_show() -> None:
    corpus = CorpusReport("a.tsv", "training")
    assert [corpus.leave_out(reason) for reason in ("blocked", "blocked", "scripts")] == [True, False, True]
    assert corpus.left_out == {"blocked": 2, "scripts": 1}


def test_a_report_says_what_was_left_out_in_the_order_of_the_rules() -> None:
    lines = str(report()).splitlines()
    order = [next(n for n, line in enumerate(lines) if reason in line) for reason in ("blocked", "duplicates")]
    assert order == sorted(order)
    assert "a.tsv (training): 10 rows, 0 kept, 2 times an epoch" in lines
    assert any("2  duplicates (is there already), such as a.tsv:duplicates" in line for line in lines)


def test_a_report_comes_back_from_its_json() -> None:
    assert Report.from_dict(json.loads(json.dumps(report().to_dict()))) == report()
