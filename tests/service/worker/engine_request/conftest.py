"""An engine that does what a test tells it to, and the requests that are made over it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.checkpoint import Checkpoint
from service.engine.engine import Output
from service.engine.runner import Details
from service.engine.sequence import Sequence
from service.engine.stats import NoObserver, Observer, RequestStats
from service.errors import Overloaded
from service.messages import Decoding, Event, GenerateRequest, Request, TranslateRequest
from service.worker.engine_request import EngineRequest
from service.worker.tasks.task import Limits
from tests import checkpoints

SAMPLED = {"do_sample": True, "seed": 3}
TEXT = "  - Je suis. Tu es !\n\nIl est.\n"


class FakeEngine:
    """Takes `room` sequences; what they give and when they end is the test's to say."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.sinks: dict[str, Callable[[Output], None]] = {}
        self.cancelled: list[str] = []

    def add(self, sequences: list[Sequence], sink: Callable[[Output], None]) -> None:
        if len(sequences) > self.room:
            raise Overloaded(f"the limit is {self.room}")
        self.sinks.update({sequence.spec.id: sink for sequence in sequences})

    def cancel(self, sequence_id: str) -> None:
        self.cancelled.append(sequence_id)

    def give(self, sequence: Sequence, *tokens: int) -> None:
        for token in tokens:
            sequence.accept(token, time.monotonic())
            last = sequence.outcome is not None
            self.sinks[sequence.spec.id](Output(sequence, len(sequence.output) - 1, token, Details(-0.5), last=last))

    def end(self, sequence: Sequence, outcome: str) -> None:
        sequence.outcome = outcome  # type: ignore[assignment]
        self.sinks[sequence.spec.id](Output(sequence, last=True, error="it broke" if outcome == "error" else None))


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoints.generator(tmp_path_factory.mktemp("calls"))


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    root: Path = tmp_path_factory.mktemp("calls")
    return checkpoints.translator(root)


def generate(results: int = 1, stream: bool = False, **decoding: object) -> GenerateRequest:
    asked = Decoding(num_return_sequences=results, max_new_tokens=3, **decoding)
    return GenerateRequest(id="g", text="배우", stream=stream, decoding=asked)


class Recorder(NoObserver):
    def __init__(self) -> None:
        self.requests: list[RequestStats] = []

    def observe_request(self, stats: RequestStats) -> None:
        self.requests.append(stats)


def started(
    checkpoint: Checkpoint, request: Request, observer: Observer | None = None
) -> tuple[FakeEngine, EngineRequest, list[Event]]:
    events: list[Event] = []
    engine = FakeEngine()
    task = checkpoints.task_of(checkpoint, Limits(max_prompt_tokens=40, max_characters=400, max_new_tokens=20))
    call = EngineRequest(request, task, events.append, time.monotonic(), observer)
    call.start(engine)  # type: ignore[arg-type]
    return engine, call, events


def paragraph(text: str = TEXT, *, stream: bool = True, **decoding: object) -> TranslateRequest:
    return TranslateRequest(
        id="t", text=text, source_language="fr", target_language="en", stream=stream,
        decoding=Decoding(max_new_tokens=5, **decoding),
    )  # fmt: skip
