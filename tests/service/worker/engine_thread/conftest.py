"""An engine thread whose steps are made when a test permits them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sized

import pytest
import torch

from models.checkpoint import Checkpoint
from models.interface import StateSize
from service.engine.beams import Beams
from service.engine.engine import Engine, Output
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Sequence, SequenceSpec
from service.engine.stats import RequestStats, StepStats
from service.observability.metrics import WorkerMetrics
from service.worker.engine_thread import EngineThread
from tests import checkpoints
from tests.waiting import eventually


class Gated(Engine):
    """A step is made when a test permits it."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.permits = threading.Semaphore(0)
        self.waits = False
        self.breaks: Exception | None = None

    def step(self) -> list[Output]:
        self.waits = True
        self.permits.acquire()
        self.waits = False
        if self.breaks is not None:
            self.breaks, error = None, self.breaks
            raise error
        return super().step()


class Stand:
    """A real tiny generator with an engine thread, and what is heard of it."""

    def __init__(
        self,
        made: Checkpoint,
        slots: int = 1,
        max_waiting: int = 100,
        max_waiting_tokens: int = 1000,
        expected: Sized = (),
    ) -> None:
        state = made.model.new_state(StateSize(slots=slots, length=63))
        runner = Runner(made.model, state, device=torch.device("cpu"))
        self.gated = Gated(runner, Scheduler(slots=slots, prefill_tokens=64), self)
        self.engine = EngineThread(
            self.gated, max_waiting=max_waiting, max_waiting_tokens=max_waiting_tokens, expected=expected
        )
        self.metrics = WorkerMetrics("m")
        self.steps: list[StepStats] = []
        self.ends: dict[str, Output] = {}
        self.twice: list[str] = []  # who was told of their end again

    def observe_step(self, stats: StepStats) -> None:
        self.steps.append(stats)
        self.metrics.observe_step(stats)

    def observe_request(self, stats: RequestStats) -> None:
        raise AssertionError("the engine knows nothing of requests")

    def add(
        self, name: str, prompt: int = 5, max_new_tokens: int = 20, deadline: float | None = None, beams: int = 0
    ) -> Sequence:
        search = Beams(width=beams) if beams else None
        sequence = Sequence(
            SequenceSpec(id=name, prompt=[9] * prompt, max_new_tokens=max_new_tokens, deadline=deadline, beams=search)
        )
        self.engine.add([sequence], self._hear)
        return sequence

    def _hear(self, output: Output) -> None:
        if output.last:
            if output.sequence.spec.id in self.ends:
                self.twice.append(output.sequence.spec.id)
            self.ends[output.sequence.spec.id] = output
            self.metrics.observe_request(output.sequence.stats(time.monotonic()))

    async def step(self, count: int = 1) -> None:
        """Permit so many steps, and wait until the thread would make the next one or has nothing to do.

        What is added then is seen after the next step: it is in the thread's inbox.
        """
        for _ in range(count):
            expected = len(self.steps) + 1
            self.gated.permits.release()
            await eventually(lambda expected=expected: len(self.steps) >= expected)
            await eventually(lambda: self.gated.waits or not self.engine.alive)

    async def end_of(self, name: str) -> str:
        await eventually(lambda: name in self.ends)
        return str(self.ends[name].sequence.outcome)

    def given_up(self) -> dict[str, float]:
        value = self.metrics.registry.get_sample_value
        stages = ("waiting", "running", "finished")
        name = "triptych_requests_cancelled_total"
        return {s: v for s in stages if (v := value(name, {"model": "m", "stage": s}) or 0)}

    @property
    def rows(self) -> int:
        """Computed in all: prompts read and tokens decoded."""
        return sum(step.prefill_requests + step.decode_requests for step in self.steps)

    def close(self) -> None:
        self.gated.permits.release(10_000)
        self.engine.close()
        assert self.twice == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoints.generator(tmp_path_factory.mktemp("generator"))


@pytest.fixture
async def stand(made: Checkpoint) -> AsyncIterator[Stand]:
    stand = Stand(made)
    yield stand
    await asyncio.to_thread(stand.close)
    assert sum(step.abandoned_tokens for step in stand.steps) == 0
