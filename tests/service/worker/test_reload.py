"""A reload changes nothing but the weights: whatever happens on the way, requests are answered in full."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import torch

from models.checkpoint import Checkpoint, load, save
from models.registry import RegistryError
from models.tokenizer import Tokenizer
from service.engine.stats import RequestStats, StepStats
from service.errors import ReloadFailed
from service.messages import Accepted, Completion, Decoding, Event, Failure, GenerateRequest, Token
from service.options import EngineOptions
from service.worker import loading, memory
from service.worker.text_engine import AT_ONCE, TextEngine
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


async def test_held_requests_are_tokenized_by_the_checkpoint_that_answers_them(
    engine: TextEngine, tmp_path: Path
) -> None:
    from models.tokenizer import train_byte_bpe

    made = checkpoints.generator(tmp_path / "other", context=4096)
    letters = train_byte_bpe(["b"], made.config.vocab_size, control_tokens=("<rating:1>", "<rating:9>"))
    manifest = dataclasses.replace(made.manifest, version=2)
    save(tmp_path / "letters", model=made.model, tokenizer=letters, manifest=manifest, dtype=torch.float32)
    before = await engine.answer(ask("before", "배우들의 연기가"))
    async with Running(engine, tmp_path / "letters") as meanwhile:
        held = asyncio.create_task(engine.answer(ask("held", "배우들의 연기가")))
        await asyncio.sleep(0.01)
        await meanwhile.finish()
        after = await held
    assert isinstance(before, Completion)
    assert isinstance(after, Completion)
    assert after.prompt_tokens == 1 + len("배우들의 연기가".encode())
    assert before.prompt_tokens < after.prompt_tokens


async def test_a_text_that_is_being_tokenized_is_answered_by_the_checkpoint_that_does_it(
    engine: TextEngine, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permits, encode = threading.Semaphore(0), Tokenizer.encode

    def slow(self: Tokenizer, text: str) -> list[int]:
        if len(text) > AT_ONCE:
            permits.acquire()
        return encode(self, text)

    monkeypatch.setattr(Tokenizer, "encode", slow)
    asking = asyncio.create_task(engine.answer(ask("long", "배우" * (AT_ONCE * 3 // 4), stream=True)))
    await asyncio.sleep(0.01)
    reload = asyncio.create_task(engine.reload(reading(second)))
    while not engine._holding.closed:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert not reload.done()
    assert engine.info.version == "generator@1"
    permits.release()
    answer = await asking
    assert isinstance(answer, Completion), answer
    assert answer.model_version == "generator@1"
    assert (await reload).version == "generator@2"


async def test_a_held_stream_is_accepted_at_once_and_only_once(engine: TextEngine, second: Path) -> None:
    events: list[Event] = []

    async def listen() -> None:
        async for batch in engine.submit([ask("held", stream=True), ask("unstreamed")]):
            events.extend(batch)

    async with Running(engine, second) as meanwhile:
        held = asyncio.create_task(listen())
        await asyncio.sleep(0.01)
        assert events == [Accepted(request_id="held")]
        await meanwhile.finish()
        await held
    assert [event for event in events if isinstance(event, Accepted)] == [Accepted(request_id="held")]
    assert sum(isinstance(event, Completion) for event in events) == 2


async def test_a_held_request_ends_at_its_deadline(engine: TextEngine, second: Path, recorder: Recorder) -> None:
    async with Running(engine, second) as meanwhile:
        late = await asyncio.wait_for(engine.answer(ask("late", deadline=time.time() + 0.05)), 2)
        assert not meanwhile.reload.done()
    assert isinstance(late, Failure)
    assert late.code == "deadline_exceeded"
    assert ("deadline", "waiting") in {(r.outcome, r.stage) for r in recorder.requests}


async def test_a_held_request_can_be_cancelled_by_id_or_by_leaving(
    engine: TextEngine, second: Path, recorder: Recorder
) -> None:
    async with Running(engine, second):
        by_id = asyncio.create_task(engine.answer(ask("by-id")))
        leaving = asyncio.create_task(engine.answer(ask("leaving")))
        await asyncio.sleep(0.01)
        engine.cancel(["by-id"])
        leaving.cancel()
        cancelled = await asyncio.wait_for(by_id, 1)
        await asyncio.gather(leaving, return_exceptions=True)
    assert isinstance(cancelled, Failure)
    assert cancelled.code == "cancelled"
    assert [r.stage for r in recorder.requests if r.outcome == "cancelled"].count("waiting") == 2


async def test_no_more_requests_are_held_than_may_wait(engine: TextEngine, second: Path) -> None:
    async with Running(engine, second) as meanwhile:
        held = [asyncio.create_task(engine.answer(ask(f"held-{number}"))) for number in range(6)]
        await asyncio.sleep(0.01)
        refused = await engine.answer(ask("one-more"))
        assert isinstance(refused, Failure)
        assert (refused.code, refused.details["retry_after_s"]) == ("overloaded", 1)
        assert "6 requests wait for the model to be replaced, the limit is 6" in refused.message
        await meanwhile.finish()
        assert all(isinstance(answer, Completion) for answer in await asyncio.gather(*held))


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


def damaged(directory: Path) -> Callable[[], Checkpoint]:
    with (directory / "model.safetensors").open("r+b") as file:
        file.seek(-8, 2)
        file.write(b"\xff" * 8)
    return reading(directory)


def absent(directory: Path) -> Callable[[], Checkpoint]:
    def read() -> Checkpoint:
        raise RegistryError("no model 'nobody'")

    return read


def not_a_number(directory: Path) -> Callable[[], Checkpoint]:
    return reading(another(directory.parent / "nan", load(directory), version=3, noise=float("nan")))


@pytest.mark.parametrize(
    ("unsound", "reason"),
    [
        (damaged, "the file was changed"),
        (absent, "no model 'nobody'"),
        (not_a_number, "the canary's token 0 has the log-probability nan"),
    ],
)
async def test_an_unsound_checkpoint_leaves_the_old_weights_serving(
    engine: TextEngine, second: Path, unsound: Callable[[Path], Callable[[], Checkpoint]], reason: str
) -> None:
    before = await engine.answer(ask("before"))
    running = asyncio.create_task(engine.answer(ask("running", max_new_tokens=60)))
    with pytest.raises(ReloadFailed, match=f"goes on with generator@1: .*{reason}"):
        await engine.reload(unsound(second))
    assert isinstance(await running, Completion)
    after = await engine.answer(ask("after"))
    assert isinstance(before, Completion)
    assert isinstance(after, Completion)
    assert (after.text, after.model_version) == (before.text, "generator@1")


async def test_a_failed_conversion_leaves_the_old_weights_serving_and_a_later_reload_works(
    engine: TextEngine, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of something")

    with monkeypatch.context() as patched:
        patched.setattr(loading, "convert", broken)
        with pytest.raises(ReloadFailed, match=r"goes on with generator@1: RuntimeError: out of something"):
            await engine.reload(reading(second))
    assert await version_of(engine, "between") == "generator@1"
    assert (await engine.reload(reading(second))).version == "generator@2"


async def test_a_cache_that_does_not_fit_beside_the_old_one_interrupts_nobody(
    engine: TextEngine, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 1000)
    with pytest.raises(ReloadFailed, match="key/value cache"):
        await engine.reload(reading(second))
    assert not engine._holding.closed
    assert await version_of(engine) == "generator@1"


def of_another_task(root: Path) -> Checkpoint:
    return checkpoints.translator(root)


def with_less_room(root: Path) -> Checkpoint:
    return checkpoints.generator(root, context=64)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (of_another_task, "translator@1 is made to translate, this model to generate"),
        (with_less_room, "generator@1 has room for max_prompt_tokens 63, generator@1 for 4095"),
    ],
)
async def test_a_checkpoint_that_could_not_answer_what_clients_ask_is_refused(
    engine: TextEngine, tmp_path: Path, make: Callable[[Path], Checkpoint], reason: str
) -> None:
    with pytest.raises(ReloadFailed, match=reason):
        await engine.reload(lambda: make(tmp_path / "other"))


async def test_language_pairs_may_come_but_not_go(tmp_path: Path) -> None:
    made = checkpoints.translator(tmp_path / "1")
    pairs = made.manifest.language_pairs
    more = another(tmp_path / "2", load(tmp_path / "1"), 2, language_pairs=(*pairs, ("en", "ko")))
    less = another(tmp_path / "3", load(tmp_path / "1"), 3, language_pairs=pairs[:2])
    engine = TextEngine("translator", made, EngineOptions(slots=2))
    try:
        assert (await engine.reload(reading(more))).language_pairs[-1] == ("en", "ko")
        with pytest.raises(ReloadFailed, match="translator@3 lacks the language pair ko-en, en-ko, which translator@2"):
            await engine.reload(reading(less))
    finally:
        engine.close()


async def test_labels_may_change_places_but_not_go(tmp_path: Path) -> None:
    made = checkpoints.classifier(tmp_path / "1")
    turned = another(tmp_path / "2", load(tmp_path / "1"), 2, labels=("positive", "negative"))
    renamed = another(tmp_path / "3", load(tmp_path / "1"), 3, labels=("good", "negative"))
    engine = TextEngine("classifier", made, EngineOptions(slots=2))
    try:
        assert (await engine.reload(reading(turned))).labels == ("positive", "negative")
        with pytest.raises(ReloadFailed, match="classifier@3 lacks the label positive"):
            await engine.reload(reading(renamed))
    finally:
        engine.close()


async def test_pairs_of_texts_stay_possible(tmp_path: Path) -> None:
    checkpoints.classifier(tmp_path / "1")
    with_pairs = another(tmp_path / "2", load(tmp_path / "1"), 2, takes_pairs=True)
    without = another(tmp_path / "3", load(tmp_path / "1"), 3)
    engine = TextEngine("classifier", load(tmp_path / "1"), EngineOptions(slots=2))
    try:
        assert (await engine.reload(reading(with_pairs))).takes_pairs
        with pytest.raises(ReloadFailed, match="classifier@3 takes no pairs of texts, which classifier@2 does"):
            await engine.reload(reading(without))
    finally:
        engine.close()


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


async def test_closing_during_a_reload_answers_those_who_are_held(engine: TextEngine, second: Path) -> None:
    async with Running(engine, second) as meanwhile:
        held = asyncio.create_task(engine.answer(ask("held")))
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        await asyncio.sleep(0.01)
        await meanwhile.finish()
        answer = await asyncio.wait_for(held, 5)
        await closing
    assert isinstance(answer, Failure)
    assert answer.code == "not_ready"
    assert not engine.running
