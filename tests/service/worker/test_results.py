"""Ended sequences as texts, scores and alignments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tokenizer import Tokenizer
from service.engine import beams
from service.engine.sequence import Sequence, SequenceSpec
from service.messages import Decoding
from service.worker.results import alignment_of, primed, scored, text_of
from tests import checkpoints

END = 2


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    root: Path = tmp_path_factory.mktemp("results")
    return checkpoints.translator(root).tokenizer


def ended(output: list[int], prefix: list[int] | None = None, logprob: float = 0.0, **fields: Any) -> Sequence:
    sequence = Sequence(
        SequenceSpec(id="s", prompt=[5], max_new_tokens=9, end_id=END, target_prefix=prefix or [], **fields)
    )
    sequence.output[:], sequence.logprob = output, logprob
    return sequence


texts = st.text(alphabet="abé나🙂 ", max_size=8)


@given(prefix=texts, rest=texts, ended_itself=st.booleans())
def test_a_text_is_prefix_and_output_without_the_end_token(tokenizer, prefix, rest, ended_itself) -> None:
    sequence = ended(tokenizer.encode(rest) + [END] * ended_itself, tokenizer.encode(prefix))
    assert text_of(tokenizer, sequence, sequence.output, ()) == prefix + rest
    assert primed(tokenizer, sequence.spec.target_prefix)[1] == prefix


def test_a_stop_string_in_the_prefix_stops_nothing(tokenizer: Tokenizer) -> None:
    sequence = ended(tokenizer.encode(" c. d"), tokenizer.encode("a. b"))
    assert text_of(tokenizer, sequence, sequence.output, (".",)) == "a. b c"


def test_samples_are_scored_by_log_probability_and_length(tokenizer: Tokenizer) -> None:
    sequences = [ended([70, 71], logprob=-3.0), ended([70, 71, 72, 73], logprob=-4.0)]
    assert [one.score for one in scored(tokenizer, sequences, Decoding())] == [-1.5, -1.0]
    assert [one.score for one in scored(tokenizer, sequences, Decoding(length_penalty=0))] == [-3.0, -4.0]


def test_hypotheses_keep_their_order_and_scores(tokenizer: Tokenizer) -> None:
    sequence = ended([70, END], tokenizer.encode("I"), beams=beams.Beams(width=2, results=2))
    sequence.hypotheses = [beams.Hypothesis([70, END], -0.25), beams.Hypothesis([71, 72], -0.5)]
    decoding = Decoding(num_beams=2, num_return_sequences=2)
    decode = tokenizer.decode
    assert [(one.text, one.score, one.seed) for one in scored(tokenizer, [sequence], decoding)] == [
        ("I" + decode([70]), -0.25, None),
        ("I" + decode([71, 72]), -0.5, None),
    ]


@given(source=texts, target=texts)
def test_the_tokens_of_an_alignment_join_to_both_texts(tokenizer, source, target) -> None:
    prompt = [tokenizer.id("<2en>"), *tokenizer.encode(source), END]
    sequence = Sequence(
        SequenceSpec(id="s", prompt=prompt, max_new_tokens=9, end_id=END, target_prefix=tokenizer.encode("I 나"))
    )
    sequence.output[:] = [*tokenizer.encode(target), END]
    sequence.alignments = [[[1 / len(prompt)] * len(prompt) for _ in sequence.output]]
    alignment = alignment_of(tokenizer, sequence)
    assert ("".join(alignment.source_tokens), "".join(alignment.target_tokens)) == (source, target)
    assert (alignment.source_tokens[0], alignment.source_tokens[-1], alignment.target_tokens[-1]) == ("", "", "")
    assert all(alignment.source_tokens[1:-1])
    assert all(alignment.target_tokens[:-1])
    assert len(alignment.weights) == len(alignment.target_tokens)
    assert {len(row) for row in alignment.weights} == {len(alignment.source_tokens)}
    assert all(sum(row) == pytest.approx(1) for row in alignment.weights)


def test_tokens_that_make_a_character_only_together_are_one(tokenizer: Tokenizer) -> None:
    smile = tokenizer.encode("🙂")
    assert len(smile) == 4
    sequence = Sequence(SequenceSpec(id="s", prompt=[*tokenizer.encode("a"), *smile], max_new_tokens=9, end_id=END))
    sequence.output[:] = [*smile, END]
    sequence.alignments = [
        [[0.2, 0.1, 0.2, 0.3, 0.2]] * 2 + [[0.4, 0.0, 0.6, 0.0, 0.0]] * 2 + [[1.0, 0.0, 0.0, 0.0, 0.0]]
    ]
    alignment = alignment_of(tokenizer, sequence)
    assert (alignment.source_tokens, alignment.target_tokens) == (("a", "🙂"), ("🙂", ""))
    assert [list(row) for row in alignment.weights] == [pytest.approx([0.3, 0.7]), [1, 0]]


def test_an_output_that_ends_within_a_character_is_aligned_too(tokenizer: Tokenizer) -> None:
    sequence = Sequence(SequenceSpec(id="s", prompt=tokenizer.encode("a"), max_new_tokens=9, end_id=END))
    sequence.output[:] = tokenizer.encode("🙂")[:2]
    sequence.alignments = [[[1.0], [1.0]]]
    assert alignment_of(tokenizer, sequence).target_tokens == ("\ufffd",)
