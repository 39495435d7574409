"""A step by graph gives the tokens of an eager one, whatever the batch looks like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.interface import StateSize
from service.engine.beams import Beams
from service.engine.engine import Engine
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Sequence, SequenceSpec
from service.engine.steps import EagerStep, GraphStep, StepShape
from tests.models.tiny import CONFIGS, built

CPU = torch.device("cpu")


def run_again(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """A graph for the CPU: what a CUDA graph does with its buffers, without the speed."""
    result = run()

    def replay() -> None:
        result.copy_(run())

    return replay, result


def engine_for(model: nn.Module, device: torch.device) -> Engine:
    state = model.new_state(StateSize(slots=10, length=23, source_length=20, device=device))
    runner = Runner(model, state, device=device)
    return Engine(runner, Scheduler(slots=10, prefill_tokens=16, chunked=runner.capabilities.prompt_in_pieces))


def answers(engine: Engine) -> list[list[int]]:
    """Beams, long prompts and short ones, arriving one after the other."""
    asked = [
        Sequence(
            SequenceSpec(
                id=str(n),
                prompt=[3 + (n * 7 + token) % 50 for token in range(1 + n * 5 % 18)],
                max_new_tokens=2 + n % 5,
                beams=Beams(width=2 + n % 3) if n % 3 == 0 else None,
            )
        )
        for n in range(12)
    ]
    arriving = list(asked)
    while arriving or not engine.idle:
        if arriving:
            engine.add(arriving.pop(0))
        engine.step()
    return [sequence.output for sequence in asked]


@pytest.mark.parametrize("name", ["seq2seq-pre-sinusoidal-tied", "gpt-pre"])
def test_recorded_steps_give_the_tokens_of_eager_ones(name: str) -> None:
    eager, recorded = (engine_for(built(CONFIGS[name]), CPU) for _ in range(2))
    runner = recorded.runner
    step = GraphStep(runner.model, runner.state, CPU, run_again)
    runner._step = step
    assert answers(recorded) == answers(eager)
    assert 1 < len(step._graphs) < 20, "few shapes, each recorded once"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("name", ["seq2seq-pre-sinusoidal-tied", "gpt-pre"])
def test_cuda_graphs_give_the_tokens_of_eager_steps(name: str) -> None:
    device = torch.device("cuda")
    eager, captured = (engine_for(built(CONFIGS[name]).to(device), device) for _ in range(2))
    eager.runner._step = EagerStep(eager.runner.model, eager.runner.state, device)
    assert isinstance(captured.runner._step, GraphStep)
    assert answers(captured) == answers(eager)


@pytest.mark.parametrize("kind", [EagerStep, GraphStep])
def test_a_shape_is_rounded_up_and_stays_within_the_cache(kind: type) -> None:
    model = built(CONFIGS["seq2seq-pre-sinusoidal-tied"])
    state = model.new_state(StateSize(slots=13, length=100, source_length=40))
    step = EagerStep(model, state, CPU) if kind is EagerStep else GraphStep(model, state, CPU, run_again)
    for rows in range(1, 14):
        for length, source in ((1, 1), (33, 17), (100, 40)):
            asked = StepShape(rows=rows, length=length, source=source, memories=rows, width=1)
            got = step.round_up(asked)
            assert rows <= got.rows <= 13
            assert length <= got.length <= 100
            assert source <= got.source <= 40
            assert rows <= got.memories <= 13
            assert step.round_up(got) == got
