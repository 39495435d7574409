from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoint import Checkpoint
from models.training.evaluation.fewshot import FewShot, Labelled, Question, Template
from tests import checkpoints
from tests.models.training.evaluation.test_likelihood import alone

WORDS = {"negative": "지루", "positive": "재미"}
POOL = [Labelled(f"영화 {n}", "positive" if n % 3 else "negative") for n in range(9)]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoints.generator(tmp_path_factory.mktemp("generator"), context=96)


@pytest.fixture
def asker(generator: Checkpoint) -> FewShot:
    return FewShot(
        model=generator.model,
        tokenizer=generator.tokenizer,
        config=generator.config,  # type: ignore[arg-type]
        template=Template("{text} → {label}"),
        words=WORDS,
    )


def test_a_template_is_given_up_to_what_is_scored() -> None:
    row = Labelled("좋다", "positive", "둘째")
    assert Template("{text} → {label}!").filled(row, "예") == ("좋다 → ", "예!")
    assert Template("<{label}>{text}.", channel=True).filled(row, "9") == ("<9>", "좋다.")
    assert Template("{text} + {pair} = {label}").filled(row, "예") == ("좋다 + 둘째 = ", "예")
    assert Template("{label}: {pair}, {text}", channel=True).filled(row, "예") == ("예: ", "둘째, 좋다")


def test_braces_in_a_text_are_no_places() -> None:
    assert Template("{text} {label}").filled(Labelled("{label}", "a"), "x") == ("{label} ", "x")


@pytest.mark.parametrize(
    ("pattern", "channel", "reason"),
    [
        ("{text}", False, "must have {text} and {label}, each once"),
        ("{text} {label} {label}", False, "each once"),
        ("{label}: {text}", False, "ask by channel"),
        ("{text} → {label}", True, "before the text"),
    ],
)
def test_a_template_that_asks_for_nothing_is_refused(pattern: str, channel: bool, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("{", r"\{")):
        Template(pattern, channel)


def test_the_labels_share_all_that_is_given_and_differ_in_what_is_scored(asker: FewShot) -> None:
    question = asker.question(Labelled("좋다", "positive"), POOL[:2])
    assert question is not None
    negative, positive = question.windows.values()
    assert negative.first == positive.first
    assert negative.ids[: negative.first] == positive.ids[: positive.first]
    written = asker.tokenizer.decode(negative.ids)
    assert written == "영화 0 → 지루 영화 1 → 재미 좋다 → 지루"  # white space is one space, as everywhere


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[Labelled]]:
    """The examples that each text is asked with, as it is asked."""
    seen: list[list[Labelled]] = []
    question = FewShot.question

    def noted(self: FewShot, row: Labelled, examples: Sequence[Labelled]) -> Question | None:
        seen.append(list(examples))
        return question(self, row, examples)

    monkeypatch.setattr(FewShot, "question", noted)
    return seen


def test_the_likeliest_label_wins(asker: FewShot, drawn: list[list[Labelled]]) -> None:
    rows = [Labelled(text, "positive") for text in ("좋다", "Where is the station?", "돈이 아깝다", "👍")]
    asker.run(rows, POOL, 2)
    likeliest = []
    for row, examples in zip(rows, list(drawn), strict=True):
        question = asker.question(row, examples)
        assert question is not None
        with torch.inference_mode():
            costs = {label: alone(asker.model, window.ids, window.first) for label, window in question.windows.items()}
        likeliest.append(min(costs, key=costs.__getitem__))
    result = asker.run([replace(row, label=label) for row, label in zip(rows, likeliest, strict=True)], POOL, 2)
    assert result.confusion.right == len(rows)
    assert (result.shots, result.shortened, result.left_out) == (2, 0, 0)


def test_more_examples_add_to_the_same_ones_and_each_text_has_its_own(
    asker: FewShot, drawn: list[list[Labelled]]
) -> None:
    rows = [Labelled("좋다", "positive"), Labelled("싫다", "negative")]
    for shots in (1, 3, 4):
        asker.run(rows, POOL, shots)
    assert [len(examples) for examples in drawn] == [1, 1, 3, 3, 4, 4]
    for first in (0, 1):
        one, three, four = drawn[first::2]
        assert four[:3] == three
        assert three[:1] == one
    assert drawn[4] != drawn[5]


def test_a_channel_scores_the_text_and_its_end_after_each_label(asker: FewShot) -> None:
    channel = replace(asker, template=Template("<rating:{label}>{text}", channel=True), words={"n": "1", "p": "9"})
    question = channel.question(Labelled("좋다", "p"), [])
    assert question is not None
    text = channel.tokenizer.encode("좋다")
    for label, token in (("n", "<rating:1>"), ("p", "<rating:9>")):
        window = question.windows[label]
        assert window.ids == [1, channel.tokenizer.id(token), *text, channel.config.end_id]
        assert window.first == 2


def test_per_token_a_label_of_many_tokens_is_not_less_likely_for_it(asker: FewShot) -> None:
    with torch.no_grad():
        uniform = replace(asker, model=_uniform(asker), words={"long": "정말 재미있는 영화", "short": "돈"})
    rows, pool = [Labelled("좋다", "long"), Labelled("싫다", "short")], [Labelled("x", "long")]
    assert uniform.run(rows, pool, 0).confusion.counts[0] == (0, 1)
    # All tokens alike: per token the labels tie, and the first one wins.
    assert replace(uniform, normalize_length=True).run(rows, pool, 0).confusion.counts[0] == (1, 0)


def _uniform(asker: FewShot) -> torch.nn.Module:
    model = copy.deepcopy(asker.model)
    model.embedding.token.weight.zero_()
    return model


def test_a_prompt_that_does_not_fit_gets_fewer_examples_and_the_report_says_so(asker: FewShot) -> None:
    long = Labelled("영화 " * 16, "negative")
    few = asker.question(Labelled("좋다", "positive"), [long, *POOL[:1]])
    assert few is not None
    assert few.examples == 1
    result = asker.run([Labelled("좋다", "positive")], [long, long, long], 3)
    assert (result.shortened, result.scores["fewer_examples"]) == (1, 1)


def test_a_text_that_does_not_fit_even_alone_is_left_out_and_counted(asker: FewShot) -> None:
    endless = Labelled("x" * 500, "positive")
    result = asker.run([endless, Labelled("좋다", "positive")], POOL, 0)
    assert (result.confusion.texts, result.left_out) == (1, 1)
    with pytest.raises(ValueError, match="all 1 texts are longer than the 96 tokens"):
        asker.run([endless], POOL, 0)


def test_more_examples_than_there_are_is_refused(asker: FewShot) -> None:
    with pytest.raises(ValueError, match="10 examples are asked for, there are 9"):
        asker.run([POOL[0]], POOL, 10)


def test_a_label_without_a_word_is_refused(asker: FewShot) -> None:
    with pytest.raises(ValueError, match="there is nothing to score of '좋다': is the word of a label empty"):
        replace(asker, words={"negative": "", "positive": "재미"}).question(Labelled("좋다", "positive"), [])


def test_the_majority_is_the_share_of_the_most_frequent_label(asker: FewShot, tmp_path: Path) -> None:
    rows = [Labelled(f"{n}", "positive" if n < 3 else "negative") for n in range(4)]
    assert asker.run(rows, POOL, 0).scores["majority"] == 0.75
