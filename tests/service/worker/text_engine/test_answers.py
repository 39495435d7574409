"""Requests as text through the engine's own thread: answers and streams."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from service.engine.stats import RequestStats, StepStats
from service.messages import (
    Accepted,
    Classification,
    ClassifyRequest,
    Completion,
    Decoding,
    Failure,
    GenerateRequest,
    Token,
)
from service.options import EngineOptions
from service.worker.text_engine import TextEngine
from tests import checkpoints
from tests.service.worker.text_engine.conftest import events_of, translate


async def test_each_task_answers_in_its_own_shape(engines: dict[str, TextEngine]) -> None:
    translation = await engines["translator"].answer(translate("t", loop_guard=False))
    assert isinstance(translation, Completion)
    assert translation.finish_reason == "length"
    guarded = await engines["translator"].answer(translate("l"))
    assert isinstance(guarded, Completion)
    assert (guarded.text, guarded.finish_reason) == (translation.text, "loop"), "what a model says that has not learned"
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
    refused = await events_of(engines["translator"], translate("a3", text="e" * 500, split="none", stream=True))
    assert [type(event) for event in refused["a3"]] == [Failure]
