"""Beam search in a mixed batch against `transformers`' generate, one request at a time, on the same weights."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch
from transformers import PreTrainedModel

from loadtests.peers.transformers_export import transformers_model
from models.config import GPTConfig, Seq2SeqConfig
from models.interface import Seq2SeqBatch
from service.engine.beams import Beams, BeamSearch, Branch
from service.engine.sequence import Sampling, Sequence, SequenceSpec
from tests.models.tiny import CONFIGS, built
from tests.service.engine.driving import arrive, engine_of

MODELS = ["seq2seq-pre-sinusoidal-tied", "seq2seq-post-sinusoidal-tied", "gpt-pre"]
START = 1
CASES = 25  # of each model


@dataclass(frozen=True)
class Case:
    prompt: list[int]
    prefix: list[int]
    beams: Beams
    max_new_tokens: int
    min_new_tokens: int
    no_repeat_ngram_size: int
    repetition_penalty: float

    @classmethod
    def random(cls, seed: int, config: Seq2SeqConfig | GPTConfig) -> Case:
        chance = random.Random(seed)
        width = chance.randint(2, 6)
        most = chance.randint(1, 14)
        return cls(
            prompt=[chance.randrange(3, config.vocab_size) for _ in range(chance.randint(1, 9))],
            prefix=[chance.randrange(3, config.vocab_size) for _ in range(chance.choice([0, 0, 1, 3]))]
            if isinstance(config, Seq2SeqConfig)
            else [],
            beams=Beams(
                width=width,
                results=chance.randint(1, width),
                length_penalty=chance.choice([-1.0, 0.0, 0.6, 1.0, 2.0]),
                early_stopping=chance.choice([True, False, "never"]),
            ),
            max_new_tokens=most,
            min_new_tokens=chance.choice([0, 0, min(3, most)]),
            no_repeat_ngram_size=chance.choice([0, 0, 1, 2, 3]),
            repetition_penalty=chance.choice([1.0, 1.0, 1.3]),
        )

    def sequence(self, name: str, end_id: int, *, prompt_counts: bool) -> Sequence:
        return Sequence(
            SequenceSpec(
                id=name,
                prompt=self.prompt,
                target_prefix=self.prefix,
                max_new_tokens=self.max_new_tokens,
                min_new_tokens=self.min_new_tokens,
                end_id=end_id,
                beams=self.beams,
                sampling=Sampling(
                    no_repeat_ngram_size=self.no_repeat_ngram_size,
                    repetition_penalty=self.repetition_penalty,
                    penalize_prompt=prompt_counts,
                    # To the reference the start token is part of a translation and may not come twice; here it never
                    # comes, as with any trained model.
                    logit_bias=((START, -100.0),),
                ),
            )
        )


def reference(
    theirs: PreTrainedModel, config: Seq2SeqConfig | GPTConfig, case: Case, end_id: int
) -> list[tuple[list[int], float]]:
    """Each result's tokens up to the end token, and its score."""
    inputs = {"input_ids": torch.tensor([case.prompt])}
    given = len(case.prompt)
    if isinstance(config, Seq2SeqConfig):
        inputs["decoder_input_ids"] = torch.tensor([[config.start_id, *case.prefix]])
        given = 1 + len(case.prefix)
    found = theirs.generate(
        **inputs,
        attention_mask=torch.ones(1, len(case.prompt), dtype=torch.int64),
        do_sample=False,
        num_beams=case.beams.width,
        num_return_sequences=case.beams.results,
        length_penalty=case.beams.length_penalty,
        early_stopping=case.beams.early_stopping,
        max_new_tokens=case.max_new_tokens,
        min_new_tokens=case.min_new_tokens or None,
        no_repeat_ngram_size=case.no_repeat_ngram_size or None,
        repetition_penalty=case.repetition_penalty if case.repetition_penalty != 1 else None,
        eos_token_id=end_id,
        suppress_tokens=[START],
        pad_token_id=config.pad_id,
        return_dict_in_generate=True,
        output_scores=True,
    )
    results = []
    for row, score in zip(found.sequences.tolist(), found.sequences_scores.tolist(), strict=True):
        tokens = row[given:]
        results.append((tokens[: tokens.index(end_id) + 1] if end_id in tokens else tokens, score))
    return results


@pytest.mark.parametrize("name", MODELS)
def test_beams_among_other_requests_equal_the_reference_token_for_token(name: str) -> None:
    model = built(CONFIGS[name])
    translates = isinstance(model.config, Seq2SeqConfig)
    cases = [Case.random(seed, model.config) for seed in range(CASES)]
    ends = [random.Random(seed).randrange(3, 61) for seed in range(CASES)]  # common tokens, so that beams do end
    searches = [
        case.sequence(str(n), end, prompt_counts=not translates)
        for n, (case, end) in enumerate(zip(cases, ends, strict=True))
    ]
    others = [
        Sequence(
            SequenceSpec(
                id=f"other {n}", prompt=[5 + n, 7], max_new_tokens=9, sampling=Sampling(do_sample=n % 2 == 1, seed=n)
            )
        )
        for n in range(CASES)
    ]
    engine = engine_of(model, slots=13, prefill_tokens=40)
    arrive(engine, [each for pair in zip(searches, others, strict=True) for each in pair], together=2)
    theirs = transformers_model(model)
    for case, end, search in zip(cases, ends, searches, strict=True):
        expected = reference(theirs, model.config, case, end)
        assert [each.tokens for each in search.hypotheses] == [tokens for tokens, _ in expected], case
        assert [each.score for each in search.hypotheses] == pytest.approx([s for _, s in expected], abs=1e-4), case
        assert search.output == search.hypotheses[0].tokens
        assert search.outcome == ("eos_token" if search.output[-1] == end else "length")
    for other in others:
        alone = engine_of(model, slots=1, prefill_tokens=40)
        copy = Sequence(
            SequenceSpec(id="alone", prompt=other.spec.prompt, max_new_tokens=9, sampling=other.spec.sampling)
        )
        arrive(alone, [copy])
        assert other.output == copy.output


@pytest.mark.parametrize("name", [MODELS[0], "recurrent-gru-additive"])
def test_a_search_frees_its_slots_at_once_and_tells_one_output(name: str) -> None:
    engine = engine_of(built(CONFIGS[name]), slots=5, prefill_tokens=40)
    search = Sequence(SequenceSpec(id="search", prompt=[9, 8], max_new_tokens=3, beams=Beams(width=4, results=2)))
    waiting = Sequence(SequenceSpec(id="waiting", prompt=[9, 8], max_new_tokens=3, beams=Beams(width=2)))
    engine.add(search)
    engine.add(waiting)
    outputs = [engine.step() for _ in range(3)]
    assert [(o.sequence.spec.id, o.last, o.token) for step in outputs for o in step] == [("search", True, None)]
    assert not waiting.rows, "two slots for it are not free before"
    engine.step()
    assert waiting.slot == 0
    assert [len(h.tokens) for h in search.hypotheses] == [3, 3]


@pytest.mark.parametrize("name", [MODELS[0], "recurrent-gru-additive"])
def test_a_cancelled_search_gives_back_all_of_its_slots(name: str) -> None:
    engine = engine_of(built(CONFIGS[name]), slots=5, prefill_tokens=40)
    search = Sequence(SequenceSpec(id="search", prompt=[9, 8], max_new_tokens=9, beams=Beams(width=4)))
    other = Sequence(SequenceSpec(id="other", prompt=[7], max_new_tokens=9))
    engine.add(search)
    engine.add(other)
    engine.step()
    engine.step()
    search.cancelled_at = 0.0
    outputs = engine.step()
    assert [o.sequence.spec.id for o in outputs if o.last] == ["search"]
    assert len(engine.scheduler.rows) == 1
    assert other.rows[0].slot == 0 or engine.runner.packed


def test_where_nothing_can_go_on_the_best_beam_is_the_result() -> None:
    search = BeamSearch(Beams(width=2), end_id=2, max_new_tokens=5)
    assert [b.token for b in search.advance([[]], [Branch(0, 7, -1.0), Branch(0, 8, -2.0)])] == [7, 8]
    nothing = [[(3, float("-inf"))], [(4, float("-inf"))]]
    assert search.advance([[7], [8]], list(search.possible([[7], [8]], nothing))) == []
    assert [h.tokens for h in search.results([[7], [8]])] == [[7]]


def test_a_translation_comes_with_its_alignment_where_that_is_asked_for() -> None:
    model = built(CONFIGS[MODELS[0]])
    engine = engine_of(model, slots=6, prefill_tokens=40)
    asked = [
        Sequence(SequenceSpec(id="greedy", prompt=[9, 8, 7], target_prefix=[20, 21], max_new_tokens=4, align_layer=1)),
        Sequence(SequenceSpec(id="beams", prompt=[5] * 9, max_new_tokens=3, beams=Beams(width=3), align_layer=0)),
        Sequence(SequenceSpec(id="none", prompt=[5], max_new_tokens=3)),
    ]
    arrive(engine, asked, together=3)
    assert [[(len(rows), len(rows[0])) for rows in s.alignments] or None for s in asked] == [
        [(4, 3)],
        [(3, 9)],
        None,
    ]
    first = asked[0]
    batch = Seq2SeqBatch(
        source_BS=torch.tensor([first.spec.prompt]),
        source_lengths_B=torch.tensor([3]),
        target_BT=torch.tensor([[START, 20, 21, *first.output[:-1]]]),
    )
    with torch.inference_mode():
        expected = model.alignment(batch, 1)[0, 2:]
    torch.testing.assert_close(torch.tensor(first.alignments[0]), expected)
