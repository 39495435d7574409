from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from models.checkpoint import load
from service.messages import Decoding
from service.scoring.answers import EngineAnswers

LONG = "정말 " * 200


@pytest.fixture
def classifier(made: dict[str, Path]) -> Iterator[EngineAnswers]:
    with EngineAnswers(load(made["classifier"]), Console(quiet=True)) as answers:
        yield answers


def test_answers_come_in_the_order_of_the_texts_whatever_their_lengths(classifier: EngineAnswers) -> None:
    texts = ["돈이 아깝다 " * n for n in (5, 1, 3)] + ["정말 재미있는 영화였어요"]
    together = classifier.classifications(texts, [None] * 4).all()
    alone = [classifier.classifications([text], [None]).all()[0] for text in texts]
    for one, other in zip(together, alone, strict=True):
        [(label, confidence)] = one.scores
        assert label == other.scores[0][0]
        assert confidence == pytest.approx(other.scores[0][1], abs=1e-5)


def test_a_pair_is_read_with_its_text(classifier: EngineAnswers) -> None:
    alone, pair = classifier.classifications(["돈이 아깝다"] * 2, [None, "정말 재미있는 영화였어요"]).all()
    assert pair.prompt_tokens > alone.prompt_tokens


def test_a_text_too_long_leaves_a_gap_that_all_does_not_pass_over(classifier: EngineAnswers) -> None:
    found = classifier.classifications(["짧다", LONG, "아쉽다"], [None] * 3)
    assert found.answered == [0, 2]
    assert found.refused == 1
    assert len(found.answered_each) == 2
    with pytest.raises(ValueError, match="no answer to '정말"):
        found.all()


def test_any_other_refusal_is_an_error(made: dict[str, Path]) -> None:
    with (
        EngineAnswers(load(made["translator"]), Console(quiet=True)) as answers,
        pytest.raises(ValueError, match="no translation for fr-de"),
    ):
        answers.translations(["un"], "fr", "de", Decoding())


def test_a_beam_wider_than_the_engine_takes_is_an_error_that_says_so(made: dict[str, Path]) -> None:
    with (
        EngineAnswers(load(made["translator"]), Console(quiet=True)) as answers,
        pytest.raises(ValueError, match="num_beams is 99, expected 1 to 16"),
    ):
        answers.translations(["un"], "fr", "en", Decoding(num_beams=99))
