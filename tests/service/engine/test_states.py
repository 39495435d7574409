"""The engine over a model whose slots hold no keys and values: it asks what the state can do, and looks no further."""

from __future__ import annotations

import random

import pytest
import torch

from models.interface import Seq2SeqBatch
from models.recurrent import Recurrent
from service.engine.beams import Beams
from service.engine.engine import Engine
from service.engine.sequence import Sampling, Sequence, SequenceSpec
from service.engine.stats import Observer
from service.engine.steps import GraphStep
from tests.models.tiny import CONFIGS, built
from tests.service.engine.driving import CPU, Recorder, arrive, engine_of, run_again


@pytest.fixture(scope="module", params=["gru-additive", "rnn-fixed", "lstm-dot", "lstm-additive-deep"])
def model(request: pytest.FixtureRequest) -> Recurrent:
    model = built(CONFIGS[f"recurrent-{request.param}"])
    assert isinstance(model, Recurrent)
    return model


def engine_for(model: Recurrent, observer: Observer | None = None) -> Engine:
    return engine_of(model, slots=9, prefill_tokens=30, observer=observer)


def sequence(model: Recurrent, name: int) -> Sequence:
    """Greedy, sampled or a beam search, with a target prefix or without, aligned where the model can tell."""
    chance = random.Random(name)
    kind = name % 3
    spec = SequenceSpec(
        id=str(name),
        prompt=[chance.randrange(3, 61) for _ in range(chance.randrange(1, 18))],
        max_new_tokens=chance.randrange(2, 14),
        end_id=2,
        sampling=Sampling(do_sample=True, temperature=1.5, seed=name) if kind == 1 else Sampling(),
        beams=Beams(width=2 + name % 2, results=2) if kind == 2 else None,
        target_prefix=[chance.randrange(3, 61) for _ in range(chance.choice([0, 0, 1, 3]))],
        align_layer=0 if model.config.capabilities.alignment_layers else None,
    )
    return Sequence(spec)


def run(model: Recurrent, engine: Engine, names: list[int]) -> list[Sequence]:
    """They arrive one after the other."""
    asked = [sequence(model, name) for name in names]
    arrive(engine, asked)
    return asked


def test_who_is_batched_with_others_gets_what_he_would_get_alone(model: Recurrent) -> None:
    together = run(model, engine_for(model), list(range(30)))
    for name, got in enumerate(together):
        [alone] = run(model, engine_for(model), [name])
        assert got.output == alone.output, name
        assert [h.tokens for h in got.hypotheses] == [h.tokens for h in alone.hypotheses], name


@torch.inference_mode()
def test_a_greedy_answer_is_the_best_token_of_the_whole_prefix_each_time(model: Recurrent) -> None:
    for got in run(model, engine_for(model), list(range(0, 30, 3))):
        batch = Seq2SeqBatch(
            source_BS=torch.tensor([got.spec.prompt]),
            source_lengths_B=torch.tensor([len(got.spec.prompt)]),
            target_BT=torch.tensor([[1, *got.spec.target_prefix, *got.output[:-1]]]),
        )
        best = model(batch)[0].argmax(dim=1).tolist()
        assert best[len(got.spec.target_prefix) :] == got.output
        if got.spec.align_layer is not None:
            assert got.alignments[0] == model.alignment(batch, 0)[0, len(got.spec.target_prefix) :].tolist()


@torch.inference_mode()
def test_a_beams_score_is_the_probability_of_its_tokens(model: Recurrent) -> None:
    for got in run(model, engine_for(model), list(range(2, 30, 3))):
        assert len(got.hypotheses) == 2
        for hypothesis in got.hypotheses:
            batch = Seq2SeqBatch(
                source_BS=torch.tensor([got.spec.prompt]),
                source_lengths_B=torch.tensor([len(got.spec.prompt)]),
                target_BT=torch.tensor([[1, *got.spec.target_prefix, *hypothesis.tokens[:-1]]]),
            )
            chosen = model(batch)[0, len(got.spec.target_prefix) :].log_softmax(dim=1)
            total = float(chosen.gather(1, torch.tensor(hypothesis.tokens)[:, None]).sum())
            assert hypothesis.score * len(hypothesis.tokens) == pytest.approx(total, abs=1e-3)


def test_recorded_steps_leave_the_rows_alone_whose_turn_it_is_not(model: Recurrent) -> None:
    eager, recorded = engine_for(model), engine_for(model)
    recorded.runner._step = GraphStep(model, recorded.runner.state, CPU, run_again)
    names = list(range(12))
    assert [s.output for s in run(model, recorded, names)] == [s.output for s in run(model, eager, names)]


def test_slots_that_do_not_grow_are_never_more_or_less_full(model: Recurrent) -> None:
    recorder = Recorder()
    run(model, engine_for(model, recorder), [0, 1, 2])
    assert max(step.slots_used for step in recorder.steps) > 1
    assert {(step.kv_used_tokens, step.kv_total_tokens) for step in recorder.steps} == {(0, 0)}
