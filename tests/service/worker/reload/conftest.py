"""An engine, other weights for it, and a reload that waits for a request that runs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import torch

from models.checkpoint import Checkpoint, load, save
from service.engine.stats import RequestStats, StepStats
from service.messages import Completion, Decoding, GenerateRequest
from service.options import EngineOptions
from service.worker.text_engine import TextEngine
from tests import checkpoints

LONG = 4000  # tokens: many seconds


class Recorder:
    def __init__(self) -> None:
        self.requests: list[RequestStats] = []

    def observe_step(self, stats: StepStats) -> None:
        pass

    def observe_request(self, stats: RequestStats) -> None:
        self.requests.append(stats)


def another(directory: Path, made: Checkpoint, version: int = 2, noise: float = 0.3, **manifest: object) -> Path:
    """A checkpoint beside `made` with other weights."""
    torch.manual_seed(version)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(torch.randn_like(parameter) * noise)
    changed = dataclasses.replace(made.manifest, version=version, **manifest)  # type: ignore[arg-type]
    save(directory, model=made.model, tokenizer=made.tokenizer, manifest=changed, dtype=torch.float32)
    return directory


def reading(directory: Path) -> Callable[[], Checkpoint]:
    return lambda: load(directory)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def first(tmp_path: Path) -> Path:
    checkpoints.generator(tmp_path / "1", context=4096)
    return tmp_path / "1"


@pytest.fixture
def second(tmp_path: Path, first: Path) -> Path:
    return another(tmp_path / "2", load(first))


@pytest.fixture
async def engine(first: Path, recorder: Recorder) -> AsyncIterator[TextEngine]:
    made = TextEngine("generator", load(first), EngineOptions(slots=4, max_waiting=6), recorder)
    yield made
    await asyncio.to_thread(made.close)


def ask(name: str, text: str = "배우", max_new_tokens: int = 12, **fields: object) -> GenerateRequest:
    return GenerateRequest(id=name, text=text, decoding=Decoding(max_new_tokens=max_new_tokens), **fields)


async def version_of(engine: TextEngine, name: str = "which") -> str:
    answer = await engine.answer(ask(name))
    assert isinstance(answer, Completion), answer
    return answer.model_version


class Running:
    """A request that runs until it is cancelled, and a reload that waits for it."""

    def __init__(self, engine: TextEngine, directory: Path, **options: float) -> None:
        self.engine = engine
        self._reload = lambda: engine.reload(reading(directory), **options)

    async def __aenter__(self) -> Running:
        self.answer = asyncio.create_task(self.engine.answer(ask("long", max_new_tokens=LONG)))
        while not self.engine._core.engine.alive:
            await asyncio.sleep(0.001)
        self.reload = asyncio.create_task(self._reload())
        while not self.engine._holding.closed:
            await asyncio.sleep(0.001)
        return self

    async def finish(self) -> None:
        self.engine.cancel(["long"])
        await self.answer

    async def __aexit__(self, *_: object) -> None:
        await self.finish()
        await asyncio.gather(self.reload, return_exceptions=True)
