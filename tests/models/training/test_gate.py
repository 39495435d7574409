from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from models.checkpoint import Manifest
from models.training.evaluation.metrics import translation_quality
from models.training.evaluation.resampling import Sample
from models.training.evaluation.scores import Answered, Measured, label_scores
from models.training.gate import GateError, Verdict, judge

SIGNATURE = "nrefs:1|case:mixed|eff:no|tok:13a"


def manifest(scores: dict[str, Any], **fields: Any) -> Manifest:
    return Manifest(**{"name": "m", "architecture": "seq2seq", "task": "translate", "scores": scores, **fields})


def recorded(old: dict[str, Any], new: dict[str, Any], tolerance: float = 0.01) -> Verdict:
    return judge(manifest(old, version=1), manifest(new), None, tolerance)


def scored(old: dict[str, Measured], new: dict[str, Measured], tolerance: float = 0.01) -> Verdict:
    return judge(
        *(manifest({t: m.scores for t, m in each.items()}, version=1) for each in (old, new)), (old, new), tolerance
    )


def labelled(right: list[bool]) -> Measured:
    return label_scores([Answered("a" if each else "b", 0.9) for each in right], ["a"] * len(right), ["a", "b"])


def lines(words: np.ndarray, right: np.ndarray) -> list[str]:
    return [" ".join(np.where(kept, line, "wrong")) for line, kept in zip(words, right, strict=True)]


def translator(rate: float, words: np.ndarray, seed: int) -> Sample:
    """Of one that gets each word right with the probability `rate`, and fewer in sentences that are hard for all."""
    hard = np.random.default_rng(99).normal(0, 0.15, len(words))[:, None]
    right = np.random.default_rng(seed).random(words.shape) < rate - hard
    return translation_quality(lines(words, right), lines(words, np.full(words.shape, True))).samples["bleu"]


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    return np.random.default_rng(1).choice([f"w{n}" for n in range(500)], size=(3000, 9))


def trial(old: Sample, new: Sample, random: np.random.Generator, *, swapped: bool) -> Verdict:
    """Three tests of 300 sentences each. Two whose answers are `swapped` at random are equally good."""
    found: tuple[dict[str, Measured], dict[str, Measured]] = ({}, {})
    for test in range(3):
        drawn = random.integers(len(old.statistics_NS), size=300)
        both = np.stack([old.statistics_NS[drawn], new.statistics_NS[drawn]])
        if swapped:
            both = np.where(random.random((1, 300, 1)) < 0.5, both, both[::-1])
        for version, statistics_NS in zip(found, both, strict=True):
            version[f"test {test}"] = Measured({"bleu": 0.0}, ("bleu", Sample(statistics_NS, old.score)))
    return scored(*found)


def test_two_equally_good_translators_are_rarely_refused_and_a_worse_one_nearly_always(
    words: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sample.p_worse_than, "__defaults__", (200, 1))
    old, same, worse = (translator(rate, words, seed) for seed, rate in enumerate((0.80, 0.80, 0.76)))
    assert 5 < old.value - worse.value < 7
    random = np.random.default_rng(6)
    verdicts = [trial(old, same, random, swapped=True) for _ in range(80)]
    beyond = [any(each.new < each.limit for each in verdict.compared) for verdict in verdicts]
    assert np.mean(beyond) > 0.6  # what the tolerance alone would refuse
    assert np.mean([verdict.refused for verdict in verdicts]) < 0.05
    assert np.mean([trial(old, worse, random, swapped=False).refused for _ in range(20)]) > 0.9


def test_certain_and_trifling_passes_as_does_large_and_uncertain() -> None:
    old, trifle = labelled([True] * 9000 + [False] * 1000), labelled([True] * 8960 + [False] * 1040)
    [found] = scored({"t": old}, {"t": trifle}).compared
    assert (found.method, found.refused) == ("McNemar", False)
    assert found.p < 1e-9
    assert scored({"t": old}, {"t": trifle}, tolerance=0.001).refused
    few = scored({"t": labelled([True] * 9 + [False])}, {"t": labelled([False] * 2 + [True] * 7 + [False])})
    assert few.compared[0].p == 0.25
    assert not few.refused


def test_one_bad_test_of_many_good_ones_is_refused_and_the_error_says_it_with_figures() -> None:
    good = labelled([True] * 90 + [False] * 10)
    names = [f"test {n}" for n in range(8)]
    verdict = scored(
        dict.fromkeys(names, good), {**dict.fromkeys(names, good), "test 3": labelled([True] * 70 + [False] * 30)}
    )
    assert [each.test for each in verdict.worse] == ["test 3"]
    assert str(GateError("m", verdict)) == (
        "m is worse than m@1, by more than chance and 1.00%: accuracy of test 3 is 0.7, was 0.9, limit 0.891"
    )


def test_what_one_test_alone_would_refuse_may_be_chance_among_many() -> None:
    good, lost = labelled([True] * 95 + [False] * 5), labelled([True] * 90 + [False] * 10)
    assert scored({"t": good}, {"t": lost}).compared[0].p == pytest.approx(1 / 32)
    assert scored({"t": good}, {"t": lost}).refused
    names = [f"test {n}" for n in range(8)]
    assert not scored(dict.fromkeys(names, good), {**dict.fromkeys(names, good), "test 3": lost}).refused


def test_the_verdict_is_what_a_manifest_keeps() -> None:
    verdict = scored({"t": labelled([True] * 9 + [False])}, {"t": labelled([True] * 10), "more": labelled([True])})
    kept = verdict.to_dict()
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert (kept["against"], kept["tolerance"], kept["level"], kept["family"]) == ("m@1", 0.01, 0.05, "Holm")
    assert kept["added"] == ["more"]
    assert kept["obstacles"] == []
    [compared] = kept["compared"]
    assert compared == {
        "test": "t", "measure": "accuracy", "old": 0.9, "new": 1.0, "old_interval": [0.5958, 0.9821],
        "new_interval": [0.7225, 1.0], "method": "McNemar", "p": 1.0, "limit": 0.891, "refused": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "obstacle"),
    [
        ({"t": {"bleu": 30.0, "sentences": 1500}}, {}, "it was not scored on t"),
        ({}, {"t": {"bleu": 30.0}}, "there is no test that both were scored on alike"),
        (
            {"t": {"bleu": 30.0, "sentences": 1500}},
            {"t": {"bleu": 30.0, "sentences": 5}},
            "t had 1,500 sentences, now 5",
        ),
        (
            {"t": {"bleu": 30.0, "sentences": 15, "sha256": "a"}},
            {"t": {"bleu": 3.0, "sentences": 15, "sha256": "b"}},
            r"t was measured otherwise \(sha256\)",
        ),
        (
            {"t": {"bleu": 30.0, "signature": SIGNATURE}},
            {"t": {"bleu": 30.0, "signature": "tok:intl"}},
            r"t was measured otherwise \(signature\)",
        ),
        (
            {"t": {"agreement": 0.9, "judge": "classifier@1"}},
            {"t": {"agreement": 0.9, "judge": "classifier@2"}},
            r"t was measured otherwise \(judge\)",
        ),
    ],
)
def test_what_leaves_the_question_open_is_refused(old: dict, new: dict, obstacle: str) -> None:
    verdict = recorded(old, new)
    assert verdict.refused
    with pytest.raises(GateError, match=f"m cannot be compared with m@1: .*{obstacle}"):
        raise GateError("m", verdict)


def test_a_direction_or_a_label_that_is_gone_is_refused_and_a_new_one_is_not() -> None:
    score = {"t": {"bleu": 30.0}}
    two, one = (("fr", "en"), ("en", "ko")), (("fr", "en"),)
    verdicts = [
        judge(manifest(score, version=1, **{field: old}), manifest(score, **{field: new}), None, 0.01)
        for field, old, new in (
            ("language_pairs", two, one),
            ("language_pairs", one, two),
            ("labels", ("a", "b"), ("a",)),
            ("labels", ("a",), ("a", "b")),
        )
    ]
    gone = [("it lacks the direction en-ko",), (), ("it lacks the label b",), ()]
    assert [verdict.obstacles for verdict in verdicts] == gone


def test_a_test_file_of_as_many_other_texts_is_compared_where_both_were_scored_on_it() -> None:
    old, new = (
        manifest({"t": {"accuracy": 0.9, "texts": 10, "sha256": "a"}}, version=1),
        labelled([True] * 10).of_file("b"),
    )
    verdict = judge(old, manifest({"t": new.scores}), ({"t": labelled([True] * 9 + [False])}, {"t": new}), 0.01)
    assert not verdict.refused
    assert len(verdict.compared) == 1


def test_a_subset_is_no_test_of_its_own() -> None:
    far = {"t": {"bleu": 30.0}, "t, far": {"bleu": 20.0, "subset": "far"}}
    verdict = recorded(far, {"t": {"bleu": 30.0}, "u, far": {"bleu": 20.0, "subset": "far"}})
    assert (verdict.obstacles, verdict.added, len(verdict.compared)) == ((), (), 1)


BLEU = {"bleu": 30.0, "sentences": 1500, "intervals": {"bleu": [28.6, 31.4]}}


@pytest.mark.parametrize(
    ("old", "new", "method", "refused"),
    [
        # 1.4 of 1.96 standard errors, and both have one: 3 is certain, 1 is not.
        (BLEU, {**BLEU, "bleu": 27.0}, "intervals", True),
        (BLEU, {**BLEU, "bleu": 29.0}, "intervals", False),
        (BLEU, {**BLEU, "bleu": 33.0}, "intervals", False),
        # Versions of before have no intervals: that of the other one is about as wide.
        ({"bleu": 30.0, "sentences": 1500}, {**BLEU, "bleu": 27.0}, "intervals", True),
        ({"bleu": 30.0, "sentences": 1500}, {**BLEU, "bleu": 29.0}, "intervals", False),
        ({"bleu": 30.0}, {"bleu": 29.6}, "tolerance alone", True),
        ({"bleu": 30.0}, {"bleu": 29.8}, "tolerance alone", False),
        ({"bits_per_byte": 2.0}, {"bits_per_byte": 2.1}, "tolerance alone", True),
        ({"bits_per_byte": 2.0}, {"bits_per_byte": 1.0}, "tolerance alone", False),
        ({"bits_per_byte": 2.0}, {"bits_per_byte": float("nan")}, "tolerance alone", True),
        ({"accuracy": 0.9, "texts": 100}, {"accuracy": 0.85, "texts": 100}, "intervals", False),
        ({"accuracy": 0.9, "texts": 100}, {"accuracy": 0.7, "texts": 100}, "intervals", True),
        ({"accuracy": 0.9, "texts": 100}, {"accuracy": float("nan"), "texts": 100}, "tolerance alone", True),
        ({"agreement": 0.9, "samples": 600}, {"agreement": 0.8, "samples": 600}, "intervals", True),
        # What is measured in characters is judged by chrF, and by nothing else.
        (
            {"bleu": 30.0, "chrf": 20.0, "signature": "tok:char"},
            {"bleu": 3.0, "chrf": 20.0, "signature": "tok:char"},
            "tolerance alone",
            False,
        ),
        (
            {"bleu": 30.0, "chrf": 20.0, "signature": "tok:char"},
            {"bleu": 30.0, "chrf": 2.0, "signature": "tok:char"},
            "tolerance alone",
            True,
        ),
    ],
)  # fmt: skip
def test_scores_from_elsewhere_are_compared_by_their_intervals(
    old: dict, new: dict, method: str, refused: bool
) -> None:
    [found] = recorded({"t": old}, {"t": new}).compared
    assert (found.method, found.refused) == (method, refused)


def test_perplexity_is_no_ground_for_refusal() -> None:
    alone = recorded({"t": {"perplexity": 9.0}}, {"t": {"perplexity": 99.0}})
    assert (alone.compared, alone.obstacles) == ((), ("there is no test that both were scored on alike",))
    verdict = recorded(
        {"t": {"bits_per_byte": 2.0, "perplexity": 9.0}}, {"t": {"bits_per_byte": 2.0, "perplexity": 99.0}}
    )
    assert [each.measure for each in verdict.compared] == ["bits_per_byte"]
    assert not verdict.refused
