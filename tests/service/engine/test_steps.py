"""A step by graph gives the tokens of an eager one, whatever the batch looks like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.interface import StateSize
from models.native.library import instruction_set
from models.native.linear import NativeLinear
from models.parts import replace_linears
from models.quantization import int8_linear
from service.engine.beams import Beams
from service.engine.engine import Engine
from service.engine.sequence import Sequence, SequenceSpec
from service.engine.steps import EagerStep, GraphStep, StepShape
from tests.models.tiny import CONFIGS, built
from tests.service.engine.driving import CPU, arrive, engine_of, run_again


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
    arrive(engine, asked)
    return [sequence.output for sequence in asked]


@pytest.mark.parametrize("name", ["seq2seq-pre-sinusoidal-tied", "t5", "gpt-pre"])
def test_recorded_steps_give_the_tokens_of_eager_ones(name: str) -> None:
    eager, recorded = (engine_of(built(CONFIGS[name]), slots=10, prefill_tokens=16, programs=False) for _ in range(2))
    runner = recorded.runner
    graphs = 0

    def record(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        nonlocal graphs
        graphs += 1
        return run_again(run)

    step = GraphStep(runner.model, runner.state, CPU, record)
    runner._step = step
    assert answers(recorded) == answers(eager)
    assert 1 < graphs == len(step._graphs) < 20, "few shapes, each recorded once"


@pytest.mark.skipif(instruction_set() is None, reason="there are no kernels for this CPU, or none were built")
@pytest.mark.parametrize("name", [name for name in CONFIGS if not name.startswith(("t5", "recurrent"))])
@pytest.mark.parametrize("layer", [int8_linear, NativeLinear])
def test_programs_give_the_tokens_of_operators(layer: Callable[[Tensor, Tensor | None], nn.Module], name: str) -> None:
    models = [replace_linears(built(CONFIGS[name]), layer) for _ in range(2)]
    operators, programs = (
        engine_of(model, slots=10, prefill_tokens=16, programs=own)
        for model, own in zip(models, (False, True), strict=True)
    )
    assert (operators.runner.packed, programs.runner.packed) == (False, True)
    assert answers(programs) == answers(operators)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("name", ["seq2seq-pre-sinusoidal-tied", "t5", "gpt-pre"])
def test_cuda_graphs_give_the_tokens_of_eager_steps(name: str) -> None:
    device = torch.device("cuda")
    eager, captured = (
        engine_of(built(CONFIGS[name]).to(device), slots=10, prefill_tokens=16, device=device) for _ in range(2)
    )
    eager.runner._step = EagerStep(eager.runner.model, eager.runner.state, device)
    assert isinstance(captured.runner._step, GraphStep)
    assert answers(captured) == answers(eager)


@pytest.mark.parametrize(
    ("kind", "rows", "lengths"),
    [
        (EagerStep, [1, 2, 3, 4, 5, 6, 7, 8, 12, 13], {1: 32, 33: 64, 100: 100}),
        (GraphStep, [1, 2, 4, 8, 13], {1: 64, 33: 64, 100: 100}),
    ],
)
def test_a_shape_is_rounded_up_to_one_of_few_and_stays_within_the_cache(
    kind: type, rows: list[int], lengths: dict[int, int]
) -> None:
    model = built(CONFIGS["seq2seq-pre-sinusoidal-tied"])
    state = model.new_state(StateSize(slots=13, length=100, source_length=40))
    step = EagerStep(model, state, CPU) if kind is EagerStep else GraphStep(model, state, CPU, run_again)
    for asked_rows in range(1, 14):
        for asked_length, length in lengths.items():
            asked = StepShape(
                rows=asked_rows, length=asked_length, source=min(asked_length, 40), memories=asked_rows, width=1
            )
            got = step.round_up(asked)
            assert (got.rows, got.length) == (min(each for each in rows if each >= asked_rows), length)
            assert asked.source <= got.source <= 40
            assert asked.memories <= got.memories <= 13
            assert step.round_up(got) == got
