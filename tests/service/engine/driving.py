"""How tests drive an engine: who arrives when, and what is heard of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from models.interface import StateSize
from service.engine.engine import Engine, Output
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Sequence
from service.engine.stats import Observer, RequestStats, StepStats

CPU = torch.device("cpu")


def engine_of(
    model: nn.Module,
    slots: int,
    prefill_tokens: int,
    observer: Observer | None = None,
    device: torch.device = CPU,
    programs: bool = True,
) -> Engine:
    """Over a tiny model, with room for the prompts and outputs that they are asked for."""
    state = model.new_state(StateSize(slots=slots, length=23, source_length=20, device=device))
    runner = Runner(model, state, device=device, programs=programs)
    scheduler = Scheduler(
        slots=slots, prefill_tokens=prefill_tokens, chunked=runner.capabilities.prompt_in_pieces, packed=runner.packed
    )
    return Engine(runner, scheduler, observer)


class Recorder:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.steps: list[StepStats] = []

    def observe_step(self, stats: StepStats) -> None:
        self.steps.append(stats)

    def observe_request(self, stats: RequestStats) -> None:
        raise AssertionError("the engine knows nothing of requests")


def finish(engine: Engine) -> list[Output]:
    """What comes until there is nothing more to do."""
    outputs = []
    while not engine.idle:
        outputs += engine.step()
    return outputs


def arrive(engine: Engine, sequences: Iterable[Sequence], together: int = 1) -> list[Output]:
    """So many of them arrive before each step; what comes until all have ended."""
    coming, outputs = list(sequences), []
    while coming:
        for each in coming[:together]:
            engine.add(each)
        del coming[:together]
        outputs += engine.step()
    return outputs + finish(engine)


def run_again(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """A graph for the CPU: what a CUDA graph does with its buffers, without the speed."""
    result = run()

    def replay() -> None:
        result.copy_(run())

    return replay, result
