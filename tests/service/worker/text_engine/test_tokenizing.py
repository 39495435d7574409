"""Texts on their way to the engine: what is read, where, and who waits for it."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path

import pytest

from models.tokenizer import Tokenizer
from service.messages import Accepted, ClassifyRequest, Completion, Failure, GenerateRequest, Request, Terminal
from service.options import EngineOptions
from service.worker.text_engine import AT_ONCE, TextEngine
from tests import checkpoints
from tests.service.worker.text_engine.conftest import events_of, translate

LONG = "I am tired, " * 3  # more of them than are tokenized at once, and each has room


@pytest.fixture
def tokenizing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that tokenize, one for each text."""
    threads: list[str] = []
    encode = Tokenizer.encode

    def noting(self: Tokenizer, text: str) -> list[int]:
        if text:
            threads.append(threading.current_thread().name)
        return encode(self, text)

    monkeypatch.setattr(Tokenizer, "encode", noting)
    return threads


async def test_a_text_that_is_still_tokenized_when_the_engine_closes_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permits, encode = threading.Semaphore(0), Tokenizer.encode

    def slow(self: Tokenizer, text: str) -> list[int]:
        permits.acquire()
        return encode(self, text)

    engine = TextEngine("generator", checkpoints.generator(tmp_path, context=4096), EngineOptions())
    monkeypatch.setattr(Tokenizer, "encode", slow)
    asking = asyncio.create_task(engine.answer(GenerateRequest(id="long", text="x " * AT_ONCE)))
    await asyncio.sleep(0.01)
    await asyncio.to_thread(engine.close)
    permits.release()
    failure = await asyncio.wait_for(asking, 5)
    assert isinstance(failure, Failure)
    assert failure.code == "not_ready"


@pytest.mark.parametrize("name", ["the text", "target_prefix", "text_pair"])
async def test_a_text_of_too_many_characters_is_refused_before_it_is_read(
    engines: dict[str, TextEngine], tokenizing: list[str], name: str
) -> None:
    engine = engines["classifier" if name == "text_pair" else "translator"]
    limit = engine._core.task.limits.max_characters
    for text, code in (("x" * limit, "input_too_long"), ("x" * (limit + 1), "input_too_long")):
        tokenizing.clear()
        request: Request = {
            "the text": translate("c", text=text, split="none"),
            "target_prefix": translate("c", target_prefix=text),
            "text_pair": ClassifyRequest(id="c", text="x", text_pair=text + " y" * limit),
        }[name]
        failure = await engine.answer(request)
        assert isinstance(failure, Failure)
        assert failure.code == code
    assert re.fullmatch(rf"{name} has \d+ characters, the limit is {limit}", failure.message)
    assert failure.details["limit"] == limit
    assert not tokenizing


async def test_a_character_that_becomes_many_counts_as_many(engines: dict[str, TextEngine]) -> None:
    limit = engines["generator"].info.max_characters
    assert limit is not None
    failure = await engines["generator"].answer(GenerateRequest(id="many", text="\ufdfa" * limit))
    assert isinstance(failure, Failure)
    assert re.fullmatch(rf"the text has {18 * limit} characters, the limit is {limit}", failure.message)


async def test_many_texts_are_tokenized_beside_the_event_loop_and_few_in_it(
    engines: dict[str, TextEngine], tokenizing: list[str]
) -> None:
    engine = engines["translator"]
    await engine.answer(translate("few", text=LONG))
    assert tokenizing == [threading.current_thread().name]
    tokenizing.clear()
    many = 2 * AT_ONCE // len(LONG)
    events = await events_of(engine, *(translate(f"{n}", text=LONG) for n in range(many)))
    assert all([type(event) for event in got] == [Completion] for got in events.values())
    assert len(tokenizing) == many
    assert 0 < sum(name.startswith("tokenizer") for name in tokenizing) < many


async def test_who_asks_for_little_does_not_wait_for_long_texts(
    engines: dict[str, TextEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, permits = engines["translator"], threading.Semaphore(0)
    encode = Tokenizer.encode

    def slow(self: Tokenizer, text: str) -> list[int]:
        if "slow" in text:
            permits.acquire()
        return encode(self, text)

    monkeypatch.setattr(Tokenizer, "encode", slow)
    many = [translate(f"{n}", text="slow " * 8, stream=True) for n in range(2 * AT_ONCE // 40)]
    few = many[: AT_ONCE // 40]
    permits.release(len(few))  # those at the front are tokenized at once
    asking = asyncio.create_task(events_of(engine, *many))
    await asyncio.sleep(0.01)
    for number in range(3):
        assert isinstance(await engine.answer(translate(f"short{number}")), Completion)
    assert not asking.done()
    engine.cancel([many[-1].id])
    permits.release(len(many))
    *others, cancelled = (await asking).values()
    assert [type(event) for event in cancelled] == [Failure]
    assert all(isinstance(got[0], Accepted) and isinstance(got[-1], Completion) for got in others)
    assert sum(isinstance(event, Terminal) for got in others for event in got) == len(others)


async def test_texts_that_are_tokenized_are_among_those_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permits = threading.Semaphore(0)
    encode = Tokenizer.encode

    def slow(self: Tokenizer, text: str) -> list[int]:
        permits.acquire()
        return encode(self, text)

    engine = TextEngine("generator", checkpoints.generator(tmp_path), EngineOptions(slots=1, max_waiting=2))
    monkeypatch.setattr(Tokenizer, "encode", slow)
    try:
        long = [GenerateRequest(id=f"{n}", text="x" * (AT_ONCE // 2)) for n in range(2)]
        long += [GenerateRequest(id=f"{n}", text="x " * 20) for n in range(2, 6)]
        permits.release(10)
        refused = [e for es in (await events_of(engine, *long)).values() for e in es if isinstance(e, Failure)]
        waiting = [each for each in refused if each.code == "overloaded"]
        assert len(waiting) == 1
        assert waiting[0].message == "2 requests wait for one of 1 slots, the limit is 2"
    finally:
        permits.release(10)
        engine.close()
