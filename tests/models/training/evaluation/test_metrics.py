from __future__ import annotations

import math

import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF

from models.training.evaluation.metrics import (
    Confusion,
    bits_per_byte,
    calibration_sample,
    label_samples,
    perplexity,
    quality_by_length,
    reliability,
    tokenizer_of,
    translation_quality,
    worst_sentences,
)

SOURCES = ["le chat est assis", "il pleut", "une deux trois quatre cinq six sept"]
REFERENCES = ["The cat sat on the mat.", "It is raining.", "One, two, three, four, five, six, seven."]
HYPOTHESES = ["The cat sits on the mat.", "It rains.", "One two three, four, five, six, seven."]


def test_bleu_and_chrf_are_those_of_sacrebleu_with_their_signatures() -> None:
    found = translation_quality(HYPOTHESES, REFERENCES)
    assert found.bleu == round(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score, 2)
    assert found.chrf == round(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score, 2)
    assert found.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert found.chrf_signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert found.scores.keys() == {"bleu", "chrf", "intervals", "signature", "chrf_signature", "sentences"}


def test_the_signature_says_how_bleu_was_tokenized() -> None:
    assert "tok:char" in translation_quality(HYPOTHESES, REFERENCES, tokenize="char").signature
    with pytest.raises(ValueError, match="BLEU has no tokenizer 'kkma'; there are 13a, char"):
        translation_quality(HYPOTHESES, REFERENCES, tokenize="kkma")


def test_korean_is_judged_by_chrf_and_its_bleu_is_of_characters() -> None:
    korean = ["나는 매일 아침 커피를 마신다.", "비가 온다."]
    spaced = ["나는 매일아침 커피를 마신다.", "비가온다."]  # as other writers set the same words
    assert tokenizer_of("ko") == "char"
    by_characters = translation_quality(spaced, korean, tokenizer_of("ko"))
    assert by_characters.headline == "chrf"
    assert by_characters.bleu > 80 > 50 > translation_quality(spaced, korean, "13a").bleu
    assert translation_quality(HYPOTHESES, REFERENCES, tokenizer_of("fr")).headline == "bleu"
    assert tokenizer_of("zh_Hant") == "zh"


def test_the_intervals_are_those_of_sacrebleus_bootstrap() -> None:
    random = np.random.default_rng(3)
    references = [" ".join(random.choice(list("abcdefgh"), 9)) for _ in range(200)]
    hypotheses = [" ".join(w if random.random() < 0.8 else "x" for w in line.split()) for line in references]
    found = translation_quality(hypotheses, references)
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        theirs = metric.corpus_score(hypotheses, [references], n_bootstrap=1000)
        low, high = found.intervals[name]
        assert low < getattr(found, name) < high
        assert (high - low) / 2 == pytest.approx(theirs._ci, rel=0.1)
        assert (high + low) / 2 == pytest.approx(theirs._mean, rel=0.02)


def test_labels_have_samples_of_what_the_confusion_and_the_calibration_say() -> None:
    confidences = [0.95, 0.95, 0.62, 0.5, 0.7, 0.71, 1.0, 0.4]
    samples = label_samples(GIVEN, EXPECTED, "abcd")
    confusion = Confusion.of(GIVEN, EXPECTED, "abcd")
    right = [a == b for a, b in zip(GIVEN, EXPECTED, strict=True)]
    assert samples["accuracy"].value == confusion.accuracy
    assert samples["macro_f1"].value == pytest.approx(confusion.macro_f1)
    calibration = calibration_sample(confidences, right)
    gaps = [each.texts * abs(each.accuracy - each.confidence) for each in reliability(confidences, right)]
    assert calibration.value == pytest.approx(sum(gaps) / len(right))
    for sample in (*samples.values(), calibration):
        low, high = sample.interval()
        assert low <= sample.value <= high
        assert low < high


def test_brevity_is_seen_where_half_of_each_sentence_is_missing() -> None:
    full = translation_quality(REFERENCES, REFERENCES)
    assert (full.bleu, full.brevity_penalty, full.length_ratio) == (100, 1, 1)
    # 4 tokens of 8: the penalty is exp(1 - 8/4).
    half = translation_quality(["one two three four"], ["one two three four five six seven eight"])
    assert (half.length_ratio, half.brevity_penalty) == (0.5, round(math.exp(-1), 4))


def test_bins_of_length_share_out_all_sentences_by_the_words_of_the_source() -> None:
    bins = quality_by_length(SOURCES, HYPOTHESES, REFERENCES, lengths=(2, 4, 6))
    assert [(words, quality.sentences) for words, quality in bins.items()] == [("1-2", 1), ("3-4", 1), ("7+", 1)]
    assert bins["7+"] == translation_quality(HYPOTHESES[2:], REFERENCES[2:])


def test_a_source_as_long_as_an_edge_is_in_the_bin_below_it() -> None:
    assert list(quality_by_length([" ".join("abcde")], ["x"], ["x"])) == ["1-5"]


def test_the_worst_sentences_come_worst_first() -> None:
    worst = worst_sentences(SOURCES, ["The cat sat on the mat.", "Snow!", HYPOTHESES[2]], REFERENCES, 2)
    assert [sentence.source for sentence in worst] == [SOURCES[1], SOURCES[2]]
    assert worst[0].chrf == round(sacrebleu.sentence_chrf("Snow!", [REFERENCES[1]]).score, 2)


EXPECTED = ["a", "a", "a", "a", "b", "b", "c", "c"]
GIVEN = ["a", "a", "a", "b", "b", "a", "c", "b"]


def test_precision_recall_and_f1_are_as_counted_by_hand() -> None:
    confusion = Confusion.of(GIVEN, EXPECTED, "abcd")
    assert confusion.labels == ("a", "b", "c")
    assert confusion.counts == ((3, 1, 0), (1, 1, 0), (0, 1, 1))
    a, b, c = confusion.by_label
    assert (a.precision, a.recall, a.f1, a.texts) == (3 / 4, 3 / 4, 3 / 4, 4)
    assert (b.precision, b.recall, b.f1) == (1 / 3, 1 / 2, pytest.approx(0.4))
    assert (c.precision, c.recall, c.f1) == (1, 1 / 2, pytest.approx(2 / 3))
    assert confusion.macro_f1 == pytest.approx((0.75 + 0.4 + 2 / 3) / 3)
    assert (confusion.accuracy, confusion.majority) == (5 / 8, 4 / 8)


def test_a_label_that_nothing_has_or_nothing_gets_costs_no_division() -> None:
    confusion = Confusion.of(["a", "a"], ["b", "b"], "ab")
    assert [(q.precision, q.recall, q.f1) for q in confusion.by_label] == [(0, 0, 0), (0, 0, 0)]
    assert confusion.macro_f1 == 0


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="1 answers for 2 expected"):
        Confusion.of(["a"], ["a", "b"], "ab")
    with pytest.raises(ValueError, match=r"labels \['z'\] are not among \['a', 'b'\]"):
        Confusion.of(["z"], ["a"], "ab")
    with pytest.raises(ValueError, match="0 answers"):
        translation_quality([], [])


def calibration_error(confidences: list[float], right: list[bool]) -> float:
    return calibration_sample(confidences, right).value


def test_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    # Two answers of 0.95, one right: a gap of 0.45. One of 0.62, right: 0.38.
    confidences, right = [0.95, 0.95, 0.62], [True, False, True]
    assert calibration_error(confidences, right) == pytest.approx((2 * 0.45 + 0.38) / 3)
    found = reliability(confidences, right)
    assert [(each.texts, each.accuracy) for each in found if each.texts] == [(1, 1), (2, 0.5)]
    assert len(found) == 15


def test_answers_as_sure_as_they_are_right_have_no_calibration_error() -> None:
    assert calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert calibration_error([1.0] * 3, [True] * 3) == 0


def test_a_confidence_on_an_edge_is_in_the_bin_below_it() -> None:
    bins = reliability([0.0, 0.2, 1.0], [True] * 3, bins=5)
    assert [each.texts for each in bins] == [2, 0, 0, 0, 1]


def test_bits_per_byte_counts_bytes_not_characters() -> None:
    assert bits_per_byte(6 * math.log(2), ["고양"]) == pytest.approx(1)


def test_perplexity_of_a_fair_die_is_its_sides() -> None:
    assert perplexity(10 * math.log(6), 10) == pytest.approx(6)
