"""Requests as text through the engine's own thread: answers, streams, refusals, cancellation, the end."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.tokenizer import Tokenizer
from service.engine.runner import Runner
from service.engine.scheduler import Plan
from service.engine.stats import RequestStats, StepStats
from service.errors import ServiceError
from service.messages import (
    Accepted,
    Classification,
    ClassifyRequest,
    Completion,
    Decoding,
    Event,
    Failure,
    GenerateRequest,
    Request,
    Terminal,
    Token,
    TranslateRequest,
)
from service.options import EngineOptions
from service.worker.text_engine import AT_ONCE, TextEngine
from tests import checkpoints


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TextEngine]]:
    root: Path = tmp_path_factory.mktemp("engines")
    made = {
        make.__name__: TextEngine(make.__name__, make(root / make.__name__), EngineOptions(slots=4))
        for make in (checkpoints.translator, checkpoints.generator, checkpoints.classifier)
    }
    yield made
    for engine in made.values():
        engine.close()


def test_a_pre_trained_encoder_has_no_labels_to_serve(tmp_path: Path) -> None:
    made = checkpoints.classifier(tmp_path / "encoder")
    encoder = dataclasses.replace(made, manifest=dataclasses.replace(made.manifest, task="pretrain"))
    with pytest.raises(ValueError, match="classifier@1 is a pre-trained encoder: fine-tune"):
        TextEngine("encoder", encoder, EngineOptions(slots=4), task="classify")


def translate(name: str, text: str = "Je suis fatigué.", **fields: object) -> TranslateRequest:
    return TranslateRequest(
        id=name, text=text, source_language="fr", target_language="en", decoding=Decoding(max_new_tokens=12), **fields
    )


async def events_of(engine: TextEngine, *requests: Request) -> dict[str, list[Event]]:
    events: dict[str, list[Event]] = {request.id: [] for request in requests}
    async for batch in engine.submit(requests):
        for event in batch:
            events[event.request_id].append(event)
    return events


async def test_each_task_answers_in_its_own_shape(engines: dict[str, TextEngine]) -> None:
    translation = await engines["translator"].answer(translate("t"))
    assert isinstance(translation, Completion)
    assert translation.finish_reason == "length"
    generation = await engines["generator"].answer(GenerateRequest(id="g", text="<rating:9>"))
    assert isinstance(generation, Completion)
    assert generation.prompt_tokens == 2
    assert generation.model_version == "generator@1"
    classification = await engines["classifier"].answer(ClassifyRequest(id="c", text="정말 재미있는 영화였어요"))
    assert isinstance(classification, Classification)
    assert {label for label, _ in classification.scores} == {"negative", "positive"}
    assert sum(score for _, score in classification.scores) == pytest.approx(1)


async def test_a_streams_pieces_join_to_the_unstreamed_text(engines: dict[str, TextEngine]) -> None:
    sampled = Decoding(max_new_tokens=40, do_sample=True, seed=5, temperature=1.5)
    for name, request in {
        "translator": translate("s1", stream=True),
        "generator": GenerateRequest(id="s2", text="배우", stream=True, decoding=sampled),
    }.items():
        *tokens, last = (await events_of(engines[name], request))[request.id]
        assert isinstance(last, Completion)
        pieces = [event for event in tokens if isinstance(event, Token)]
        assert [piece.index for piece in pieces] == list(range(last.generated_tokens))
        assert "".join(piece.text for piece in pieces) == last.text
        assert all(piece.logprob <= 0 for piece in pieces)


async def generated(engine: TextEngine, stream: bool = False, **decoding: object) -> tuple[Completion, list[Token]]:
    request = GenerateRequest(id=f"{decoding}", text="배우", stream=stream, decoding=Decoding(**decoding))
    *tokens, last = (await events_of(engine, request))[request.id]
    assert isinstance(last, Completion), last
    return last, [token for token in tokens if isinstance(token, Token)]


async def test_the_text_ends_before_a_stop_string_streamed_or_not(engines: dict[str, TextEngine]) -> None:
    settings = {"max_new_tokens": 40, "do_sample": True, "seed": 5, "temperature": 1.5}
    whole, _ = await generated(engines["generator"], **settings)
    middle = len(whole.text) // 2
    stop = ("not there at all", whole.text[middle : middle + 3])
    unary, _ = await generated(engines["generator"], stop=stop, **settings)
    streamed, tokens = await generated(engines["generator"], stream=True, stop=stop, **settings)
    assert unary.text == whole.text[: whole.text.index(stop[1])]
    assert unary.finish_reason == "stop_sequence"
    assert unary.generated_tokens < whole.generated_tokens
    assert (streamed.text, streamed.finish_reason) == (unary.text, "stop_sequence")
    assert "".join(token.text for token in tokens) == unary.text
    assert len(tokens) == streamed.generated_tokens


async def test_a_stop_string_that_does_not_come_changes_nothing(engines: dict[str, TextEngine]) -> None:
    whole, _ = await generated(engines["generator"], max_new_tokens=30)
    same, tokens = await generated(engines["generator"], stream=True, max_new_tokens=30, stop=("not there at all",))
    assert (same.text, same.finish_reason) == (whole.text, whole.finish_reason)
    assert "".join(token.text for token in tokens) == whole.text


async def test_a_greedy_request_can_be_biased_and_kept_from_ending(engines: dict[str, TextEngine]) -> None:
    end = engines["generator"]._core.task.tokenizer.id("</s>")
    ended, _ = await generated(engines["generator"], logit_bias=((end, 100.0),))
    assert (ended.finish_reason, ended.generated_tokens) == ("eos_token", 1)
    later, _ = await generated(engines["generator"], logit_bias=((end, 100.0),), min_new_tokens=4)
    assert (later.finish_reason, later.generated_tokens) == ("eos_token", 5)


async def test_a_repetition_penalty_breaks_a_loop(engines: dict[str, TextEngine]) -> None:
    loop = {"stream": True, "max_new_tokens": 20, "logit_bias": ((270, 50.0),)}
    _, tokens = await generated(engines["generator"], **loop)
    assert [token.id for token in tokens] == [270] * 20
    _, tokens = await generated(engines["generator"], **loop, repetition_penalty=100.0)
    assert tokens[0].id == 270
    assert [token.id for token in tokens].count(270) < 10


async def test_the_best_tokens_come_with_each_one(engines: dict[str, TextEngine]) -> None:
    _, tokens = await generated(engines["generator"], stream=True, max_new_tokens=8, top_n_tokens=3)
    for token in tokens:
        assert len(token.top_tokens) == 3
        assert (token.top_tokens[0].id, token.top_tokens[0].logprob) == (token.id, pytest.approx(token.logprob))
        assert [best.logprob for best in token.top_tokens] == sorted(
            (best.logprob for best in token.top_tokens), reverse=True
        )


@pytest.mark.parametrize(
    ("decoding", "message"),
    [
        ({"repetition_penalty": 0}, "repetition_penalty is 0, expected 0.01 to 100"),
        ({"presence_penalty": -2.5}, "presence_penalty is -2.5, expected -2 to 2"),
        ({"frequency_penalty": float("nan")}, "frequency_penalty is nan, expected -2 to 2"),
        ({"logit_bias": ((99999, 1.0),)}, r"a token id in logit_bias is 99999, expected 0 to \d+"),
        ({"logit_bias": ((5, 101.0),)}, r"logit_bias\[5\] is 101.0, expected -100 to 100"),
        ({"logit_bias": ((5, 1.0),) * 1025}, "the length of logit_bias is 1025, expected 0 to 1024"),
        ({"do_sample": True, "top_k": 0}, "top_k is 0, expected 1 to 2147483647"),
        ({"do_sample": True, "top_p": 1.5}, "top_p is 1.5, expected more than 0 and at most 1"),
        ({"do_sample": True, "min_p": -0.1}, "min_p is -0.1, expected 0 to 1"),
        ({"do_sample": True, "typical_p": 0}, "typical_p is 0, expected more than 0 and at most 1"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens is 9, expected 0 to 8"),
        ({"stop": ("",)}, r"the length of stop\[0\] is 0, expected 1 to 256"),
        ({"stop": ("a",) * 17}, "the length of stop is 17, expected 0 to 16"),
        ({"top_n_tokens": 21}, "top_n_tokens is 21, expected 0 to 20"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0, expected at least 1"),
        ({"num_beams": 0}, "num_beams is 0, expected 1 to 16"),
        ({"num_return_sequences": 17, "do_sample": True}, "num_return_sequences is 17, expected 1 to 16"),
        ({"length_penalty": 11}, "length_penalty is 11, expected -10 to 10"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size is -1, expected 0 to 2147483647"),
    ],
)
async def test_decoding_outside_the_limits_is_refused_with_value_and_limit(
    engines: dict[str, TextEngine], decoding: dict, message: str
) -> None:
    failure = await engines["generator"].answer(GenerateRequest(id="d", text="x", decoding=Decoding(**decoding)))
    assert isinstance(failure, Failure)
    assert failure.code == "invalid_request"
    assert re.search(message, failure.message), failure.message
    assert "limit" in failure.details


async def test_every_request_of_a_call_gets_exactly_one_terminal_event(engines: dict[str, TextEngine]) -> None:
    requests = [translate(f"m{n}", text="I am tired. " * (n % 4)) for n in range(20)]
    events = await events_of(engines["translator"], *requests)
    for number in range(20):
        kinds = [type(event) for event in events[f"m{number}"]]
        assert kinds == [Completion if number % 4 else Failure]


async def test_the_start_of_the_prompt_is_returned_when_asked_for(engines: dict[str, TextEngine]) -> None:
    plain = await engines["generator"].answer(GenerateRequest(id="p1", text="배우"))
    full = await engines["generator"].answer(GenerateRequest(id="p2", text="배우", return_full_text=True))
    assert isinstance(plain, Completion)
    assert isinstance(full, Completion)
    assert full.text == "배우" + plain.text


@pytest.mark.parametrize(
    ("engine", "request_", "code", "message"),
    [
        ("translator", translate("r1", text="  "), "empty_input", "empty"),
        ("translator", translate("r2", text="e" * 500), "input_too_long", r"\d+ tokens, the limit is 48"),
        (
            "translator",
            TranslateRequest(id="r3", text="x", source_language="en", target_language="ko"),
            "unknown_language_pair",
            "en-ko; available: fr-en, en-fr, ko-en",
        ),
        (
            "generator",
            GenerateRequest(id="r5", text="x", decoding=Decoding(max_new_tokens=63)),
            "invalid_request",
            "max_new_tokens is 63, the limit after a prompt of 2 tokens is 62",
        ),
        (
            "generator",
            GenerateRequest(id="r6", text="x", decoding=Decoding(do_sample=True, temperature=0)),
            "invalid_request",
            "temperature is 0",
        ),
        (
            "translator",
            translate("r9", min_length_ratio=-1),
            "invalid_request",
            "min_length_ratio is -1, expected 0 to 100",
        ),
        ("translator", translate("r10", max_length_ratio=math.nan), "invalid_request", "max_length_ratio is nan"),
        ("translator", translate("r11", max_length_ratio=101), "invalid_request", "more than 0 and at most 100"),
        ("classifier", ClassifyRequest(id="r12", text="x", top_k=0), "invalid_request", "top_k is 0"),
        ("classifier", translate("r7"), "invalid_request", "classifier answers classify"),
        ("translator", translate("r8", deadline=1.0), "deadline_exceeded", "deadline"),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else "",
)
async def test_what_cannot_be_served_is_refused_with_value_and_limit(
    engines: dict[str, TextEngine], engine: str, request_: Request, code: str, message: str
) -> None:
    failure = await engines[engine].answer(request_)
    assert isinstance(failure, Failure)
    assert failure.code == code
    assert re.search(message, failure.message), failure.message


async def test_labels_are_scored_as_asked(engines: dict[str, TextEngine]) -> None:
    async def scores(**fields: object) -> tuple[tuple[str, float], ...]:
        answer = await engines["classifier"].answer(ClassifyRequest(id=f"k{fields}", text="돈이 아깝다", **fields))
        assert isinstance(answer, Classification)
        return answer.scores

    softmax, sigmoid, raw = [dict(await scores(function_to_apply=f)) for f in ("softmax", "sigmoid", "none")]
    assert sum(softmax.values()) == pytest.approx(1)

    for label, logit in raw.items():
        assert sigmoid[label] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)
    best = await scores(top_k=1)
    assert best == (max(softmax.items(), key=lambda item: item[1]),)


async def test_leaving_a_stream_frees_its_slot(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path, context=4096), EngineOptions(slots=1))
    try:
        endless = GenerateRequest(id="endless", text="x", stream=True, decoding=Decoding(max_new_tokens=4000))
        stream = engine.submit([endless])
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        short = GenerateRequest(id="short", text="x", decoding=Decoding(max_new_tokens=2))
        answer = await asyncio.wait_for(engine.answer(short), timeout=5)
        assert isinstance(answer, Completion)
    finally:
        engine.close()


async def test_a_full_engine_refuses_with_a_time_to_come_back(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path), EngineOptions(slots=1, max_waiting=2))
    try:
        requests = [GenerateRequest(id=str(n), text="x") for n in range(6)]
        events = await events_of(engine, *requests)
        refused = [e for es in events.values() for e in es if isinstance(e, Failure)]
        assert [failure.code for failure in refused] == ["overloaded"] * 3
        assert "limit is 2" in refused[0].message
        assert refused[0].details["retry_after_s"] > 0
    finally:
        engine.close()


async def test_a_deadline_that_passes_on_the_way_ends_the_request(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path, context=4096), EngineOptions())
    try:
        late = GenerateRequest(id="late", text="x", deadline=time.time() + 0.1, decoding=Decoding(max_new_tokens=4000))
        failure = await asyncio.wait_for(engine.answer(late), timeout=10)
        assert isinstance(failure, Failure)
        assert failure.code == "deadline_exceeded"
    finally:
        engine.close()


async def test_closing_finishes_what_runs_and_refuses_what_comes(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path), EngineOptions())
    running = asyncio.create_task(engine.answer(GenerateRequest(id="running", text="x")))
    await asyncio.sleep(0)
    await asyncio.to_thread(engine.close)
    assert isinstance(await running, Completion)
    assert not engine.running
    refused = await engine.answer(GenerateRequest(id="later", text="x"))
    assert isinstance(refused, Failure)
    assert refused.code == "not_ready"


async def test_a_prompt_that_begins_like_one_before_is_not_read_again(tmp_path: Path) -> None:
    class Recorder:
        queried = found = 0

        def observe_step(self, stats: StepStats) -> None:
            self.queried += stats.prefix_query_tokens
            self.found += stats.prefix_hit_tokens

        def observe_request(self, stats: RequestStats) -> None:
            pass

    made = checkpoints.generator(tmp_path, context=256)
    first, second = "배우들의 연기가 아쉽다 " * 4, "배우들의 연기가 아쉽다 " * 4 + "👍"
    recorder, cold = Recorder(), EngineOptions(slots=2, prefix_slots=0, precision="float32")
    warm = TextEngine("generator", made, dataclasses.replace(cold, prefix_slots=2), recorder)
    alone = TextEngine("generator", checkpoints.generator(tmp_path, context=256), cold)
    try:
        for number, text in enumerate((first, second)):
            request = GenerateRequest(id=f"{number}", text=text, decoding=Decoding(max_new_tokens=8))
            answer, expected = await warm.answer(request), await alone.answer(request)
            assert isinstance(answer, Completion)
            assert isinstance(expected, Completion)
            assert answer.text == expected.text
        assert 16 <= recorder.found < recorder.queried
    finally:
        warm.close()
        alone.close()


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


LONG = "I am tired. " * 3  # more of them than are tokenized at once, and each has room


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


@pytest.mark.parametrize("name", ["the text", "target_prefix", "text_pair"])
async def test_a_text_of_too_many_characters_is_refused_before_it_is_read(
    engines: dict[str, TextEngine], tokenizing: list[str], name: str
) -> None:
    engine = engines["classifier" if name == "text_pair" else "translator"]
    limit = engine.info.max_characters
    assert limit is not None
    for text, code in (("x" * limit, "input_too_long"), ("x" * (limit + 1), "input_too_long")):
        tokenizing.clear()
        request: Request = {
            "the text": translate("c", text=text),
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
    limit = engines["translator"].info.max_characters
    assert limit is not None
    failure = await engines["translator"].answer(translate("many", text="\ufdfa" * limit))
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


async def test_a_stream_begins_with_its_acceptance_and_nothing_else_does(engines: dict[str, TextEngine]) -> None:
    for engine, request in (
        ("translator", translate("a1", stream=True)),
        ("generator", GenerateRequest(id="a2", text="배우", stream=True, decoding=Decoding(max_new_tokens=5))),
    ):
        first, *tokens, last = (await events_of(engines[engine], request))[request.id]
        assert first == Accepted(request_id=request.id)
        assert [token.index for token in tokens if isinstance(token, Token)] == list(range(len(tokens)))
        assert isinstance(last, Completion)
        (only,) = (await events_of(engines[engine], dataclasses.replace(request, stream=False)))[request.id]
        assert isinstance(only, Completion)
    refused = await events_of(engines["translator"], translate("a3", text="e" * 500, stream=True))
    assert [type(event) for event in refused["a3"]] == [Failure]


class Blocking:
    """Stands for a runner whose steps end when a test permits it."""

    def __init__(self, engine: TextEngine) -> None:
        self.runner: Runner = engine._core.engine._engine.runner
        self._run, self.permits, self.prompts = self.runner.run, threading.Semaphore(0), 0
        self.runner.run = self  # type: ignore[method-assign, assignment]

    def __call__(self, plan: Plan) -> object:
        self.permits.acquire()
        self.prompts += sum(map(len, plan.prefill))
        return self._run(plan)


async def test_a_busy_model_shows_its_life_by_a_step_and_an_idle_one_by_an_answer(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path, context=4096), EngineOptions(slots=1))
    runner = Blocking(engine)
    try:
        requests = [GenerateRequest(id=f"{n}", text="x", decoding=Decoding(max_new_tokens=20)) for n in range(50)]
        asking = asyncio.create_task(events_of(engine, *requests))
        await asyncio.sleep(0.01)
        canary = asyncio.create_task(engine.canary("canary"))
        await asyncio.sleep(0.05)
        assert not canary.done(), "no step has ended"
        runner.permits.release(2)
        await asyncio.wait_for(canary, 5)
        assert not asking.done()
        runner.permits.release(10**6)
        await asking
        assert runner.prompts == len(requests), "nothing was added to the work"
        await engine.canary("canary")
        assert runner.prompts == len(requests) + 1
    finally:
        runner.permits.release(10**6)
        engine.close()


@pytest.mark.parametrize("busy", [True, False])
async def test_a_step_that_never_ends_is_no_life(tmp_path: Path, busy: bool) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path), EngineOptions())
    runner = Blocking(engine)
    try:
        asking = asyncio.create_task(engine.answer(GenerateRequest(id="it", text="x"))) if busy else None
        await asyncio.sleep(0.01)
        with pytest.raises(ServiceError, match=r"no sign of life from the model in 0\.05 s"):
            await engine.canary("canary", timeout_s=0.05)
        runner.permits.release(10**6)
        assert asking is None or isinstance(await asking, Completion)
        await engine.canary("canary")
    finally:
        runner.permits.release(10**6)
        engine.close()
