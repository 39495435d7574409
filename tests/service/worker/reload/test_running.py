"""A reload changes nothing but the weights: whatever happens on the way, requests are answered in full."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from models.checkpoint import load
from service.errors import ReloadFailed
from service.messages import Completion, Event, Token
from service.options import EngineOptions
from service.worker.text_engine import TextEngine
from tests.service.worker.reload.conftest import Running, ask, reading, version_of


async def test_under_load_every_request_is_answered_in_full_by_one_version(first: Path, second: Path) -> None:
    texts = ["배우", "연기", "시간 가는 줄", "<rating:9>", "I am"]
    expected: dict[tuple[str, str], str] = {}
    for directory in (first, second):
        alone = TextEngine("generator", load(directory), EngineOptions(slots=4, precision="float32"))
        for text in texts:
            answer = await alone.answer(ask(text, text))
            assert isinstance(answer, Completion)
            expected[answer.model_version, text] = answer.text
        alone.close()
    assert len({expected[f"generator@{version}", texts[0]] for version in (1, 2)}) == 2

    engine = TextEngine("generator", load(first), EngineOptions(slots=4, precision="float32"))
    seen: list[tuple[str, str]] = []
    done = False

    async def client(number: int) -> None:
        asked = 0
        while not done:
            text, asked = texts[(number + asked) % len(texts)], asked + 1
            request = ask(f"{number}-{asked}", text, stream=number % 2 == 0)
            events: list[Event] = [e async for batch in engine.submit([request]) for e in batch]
            last = events[-1]
            assert isinstance(last, Completion), last
            assert last.text == expected[last.model_version, text]
            pieces = [event.text for event in events if isinstance(event, Token)]
            assert not request.stream or "".join(pieces) == last.text
            seen.append((last.model_version, text))

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    for directory in (second, first, second):
        await asyncio.sleep(0.1)
        info = await engine.reload(reading(directory))
        assert info.version == engine.info.version == f"generator@{directory.name}"
        assert await version_of(engine) == info.version
    done = True
    await asyncio.gather(*clients)
    await asyncio.to_thread(engine.close)
    assert {version for version, _ in seen} == {"generator@1", "generator@2"}


async def test_what_runs_finishes_on_the_old_weights_and_what_comes_gets_the_new(
    engine: TextEngine, second: Path
) -> None:
    running = asyncio.create_task(engine.answer(ask("running", max_new_tokens=150)))
    while not engine._core.engine.alive:
        await asyncio.sleep(0.001)
    reload = asyncio.create_task(engine.reload(reading(second)))
    while not engine._holding.closed:
        await asyncio.sleep(0.001)
    held = [asyncio.create_task(engine.answer(ask(f"held-{number}"))) for number in range(5)]
    old = await running
    assert isinstance(old, Completion)
    assert (old.model_version, old.generated_tokens) == ("generator@1", 150)
    answers = await asyncio.gather(*held)
    assert {a.model_version for a in answers if isinstance(a, Completion)} == {"generator@2"}
    assert all(isinstance(a, Completion) and a.timing.queue_ms > 0 for a in answers)
    assert (await reload).version == "generator@2"


async def test_a_reload_gives_up_when_running_requests_do_not_end(engine: TextEngine, second: Path) -> None:
    async with Running(engine, second, patience_s=0.05) as meanwhile:
        held = asyncio.create_task(engine.answer(ask("held")))
        with pytest.raises(ReloadFailed, match=r"goes on with generator@1: 1 requests are not finished after 0\.05 s"):
            await meanwhile.reload
        answer = await held
        assert isinstance(answer, Completion)
        assert answer.model_version == "generator@1"
        assert not meanwhile.answer.done()


async def test_a_reload_that_is_cancelled_lets_everything_go_on(engine: TextEngine, second: Path) -> None:
    async with Running(engine, second) as meanwhile:
        held = asyncio.create_task(engine.answer(ask("held")))
        await asyncio.sleep(0.01)
        meanwhile.reload.cancel()
        answer = await held
        assert isinstance(answer, Completion)
        assert answer.model_version == "generator@1"
        assert not meanwhile.answer.done()
    assert (await engine.reload(reading(second))).version == "generator@2"


async def test_one_reload_at_a_time(engine: TextEngine, second: Path) -> None:
    async with Running(engine, second) as meanwhile:
        with pytest.raises(ReloadFailed, match="being reloaded already"):
            await engine.reload(reading(second))
        await meanwhile.finish()
        assert (await meanwhile.reload).version == "generator@2"


async def test_nothing_is_left_of_the_old_weights(tmp_path: Path, second: Path, first: Path) -> None:
    made = load(first)
    engine = TextEngine("generator", made, EngineOptions(slots=2))
    old = weakref.ref(made.model)
    del made
    assert await version_of(engine) == "generator@1"
    await engine.reload(reading(second))
    gc.collect()
    assert old() is None
    engine.close()
