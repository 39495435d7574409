"""Requests as text through the engine's own thread: answers, streams, refusals, cancellation, the end."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine.stats import RequestStats, StepStats
from service.engine.text_engine import EngineOptions, TextEngine
from service.messages import (
    Classification,
    ClassifyRequest,
    Completion,
    Decoding,
    Event,
    Failure,
    GenerateRequest,
    Request,
    Token,
    TranslateRequest,
)
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


def test_a_pre_trained_encoder_is_not_served(tmp_path: Path) -> None:
    made = checkpoints.classifier(tmp_path / "encoder")
    encoder = dataclasses.replace(made, manifest=dataclasses.replace(made.manifest, task="pretrain"))
    with pytest.raises(ValueError, match="classifier@1 is a pre-trained encoder, which answers no requests: fine-tune"):
        TextEngine("encoder", encoder, EngineOptions(slots=4))


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
    end = engines["generator"]._core.tokenizer.id("</s>")
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
        ({"logit_bias": ((5, 101.0),)}, "logit_bias of token 5 is 101.0, expected -100 to 100"),
        ({"logit_bias": ((5, 1.0),) * 1025}, "the number of tokens in logit_bias is 1025, expected 0 to 1024"),
        ({"do_sample": True, "top_k": 0}, "top_k is 0, expected at least 1"),
        ({"do_sample": True, "top_p": 1.5}, "top_p is 1.5, expected more than 0 and at most 1"),
        ({"do_sample": True, "min_p": -0.1}, "min_p is -0.1, expected 0 to 1"),
        ({"do_sample": True, "typical_p": 0}, "typical_p is 0, expected more than 0 and at most 1"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens is 9, expected 0 to 8"),
        ({"stop": ("",)}, r"the length of stop\[0\] is 0, expected 1 to 256"),
        ({"stop": ("a",) * 17}, "the number of stop strings is 17, expected 0 to 16"),
        ({"top_n_tokens": 21}, "top_n_tokens is 21, expected 0 to 20"),
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
    import math

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
