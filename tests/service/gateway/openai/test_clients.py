"""The `openai` package, as it is, over a real server."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
import yaml
from huggingface_hub import InferenceClient

from service.errors import ServiceError
from service.gateway.keys import hash_of, new_key
from service.messages import ChatMessage
from tests.service.gateway.conftest import Stand

MESSAGES: list = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello you"}]


@pytest.fixture(params=["/v1", "/generate/v1"])
def ask(request: pytest.FixtureRequest, server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server}{request.param}", api_key="none", max_retries=0) as client:
        yield client


def test_models_are_those_that_these_routes_take(ask: openai.OpenAI) -> None:
    assert [model.id for model in ask.models.list()] == ["generator", "second-generator", "embedder"]
    assert ask.models.retrieve("generator").object == "model"
    with pytest.raises(openai.NotFoundError, match="no model 'translator' is served at /v1") as refused:
        ask.models.retrieve("translator")
    assert refused.value.code == "model_not_found"


def test_a_completion_samples_at_most_sixteen_tokens_unless_told_otherwise(stand: Stand, ask: openai.OpenAI) -> None:
    answer = ask.completions.create(model="generator", prompt="once upon")
    assert (answer.object, answer.model, answer.system_fingerprint) == ("text_completion", "generator", "generator@1")
    [choice] = answer.choices
    assert (choice.text, choice.finish_reason, choice.index, choice.logprobs) == ("ONCE UPON", "stop", 0, None)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 2, 5)
    decoding = stand.generator.seen[0].decoding
    assert (decoding.do_sample, decoding.temperature, decoding.max_new_tokens) == (True, 1.0, 16)


@pytest.mark.parametrize("greedy", [{"temperature": 0}, {"top_p": 0}, {"temperature": 0, "top_p": 1, "seed": 3}])
def test_zero_is_greedy(stand: Stand, ask: openai.OpenAI, greedy: dict) -> None:
    ask.completions.create(model="generator", prompt="once", **greedy)
    assert stand.generator.seen[0].decoding.do_sample is False


def test_what_decoding_is_to_be_reaches_the_model(stand: Stand, ask: openai.OpenAI) -> None:
    asked: dict = {
        "max_tokens": 9,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 5,
        "stop": ["!", " UPON"],
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "logit_bias": {"7": -3},
        "extra_body": {"top_k": 4, "repetition_penalty": 1.1, "min_p": 0.1, "min_tokens": 2, "priority": -1},
    }
    answer = ask.completions.create(model="generator", prompt="once upon", user="me", **asked)
    assert answer.choices[0].text == "ONCE"
    request = stand.generator.seen[0]
    decoding = request.decoding
    assert (decoding.max_new_tokens, decoding.min_new_tokens, request.priority) == (9, 2, -1)
    assert (decoding.temperature, decoding.top_p, decoding.top_k, decoding.min_p) == (0.7, 0.9, 4, 0.1)
    assert (decoding.seed, decoding.stop, decoding.do_sample) == (5, ("!", " UPON"), True)
    assert (decoding.presence_penalty, decoding.frequency_penalty, decoding.repetition_penalty) == (0.5, -0.5, 1.1)
    assert decoding.logit_bias == ((7, -3.0),)
    ask.completions.create(model="generator", prompt="once", stop="!")
    assert stand.generator.seen[1].decoding.stop == ("!",)


def test_several_choices_of_several_prompts_are_a_request_each(stand: Stand, ask: openai.OpenAI) -> None:
    answer = ask.completions.create(model="generator", prompt=["a b", "c"], n=2, seed=2**63 - 1, best_of=2)
    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "A B"), (1, "A B"), (2, "C"), (3, "C")]
    assert [request.decoding.seed for request in stand.generator.seen] == [2**63 - 1, 0] * 2
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 6), "a prompt counts once"


def test_token_ids_are_the_prompt_as_it_is(stand: Stand, ask: openai.OpenAI) -> None:
    assert ask.completions.create(model="generator", prompt=[5, 6]).choices[0].text == "5 6"
    answer = ask.completions.create(model="generator", prompt=[[5, 6], [7]])
    assert [choice.text for choice in answer.choices] == ["5 6", "7"]
    assert [request.token_ids for request in stand.generator.seen] == [(5, 6), (5, 6), (7,)]


def test_log_probabilities_of_a_completion(ask: openai.OpenAI) -> None:
    [choice] = ask.completions.create(model="generator", prompt="a b", logprobs=2).choices
    assert choice.logprobs is not None
    assert (choice.logprobs.tokens, choice.logprobs.text_offset) == (["A", " B"], [0, 1])
    assert choice.logprobs.token_logprobs == [-0.5, -0.5]
    assert choice.logprobs.top_logprobs == [{"0": -0.5, "1": -1.5, "A": -0.5}, {"0": -0.5, "1": -1.5, " B": -0.5}]


def test_an_echo_begins_with_the_prompt_streamed_or_not(ask: openai.OpenAI) -> None:
    assert ask.completions.create(model="generator", prompt="a b", echo=True).choices[0].text == "a bA B"
    chunks = list(ask.completions.create(model="generator", prompt="a b", echo=True, stream=True))
    assert [chunk.choices[0].text for chunk in chunks] == ["a b", "A", " B", ""]


def test_a_stream_of_a_completion(ask: openai.OpenAI) -> None:
    chunks = list(ask.completions.create(model="generator", prompt="a b", stream=True, logprobs=0))
    assert [chunk.choices[0].text for chunk in chunks] == ["A", " B", ""]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    logprobs = [chunk.choices[0].logprobs for chunk in chunks]
    assert [each and each.text_offset for each in logprobs] == [[0], [1], []]
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_of_several_choices_tells_them_apart_and_what_they_used(ask: openai.OpenAI) -> None:
    asked: dict = {"prompt": ["a b", "c"], "n": 2, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = ask.completions.create(model="generator", **asked)
    texts = dict.fromkeys(range(4), "")
    for chunk in chunks:
        [choice] = chunk.choices
        texts[choice.index] += choice.text
    assert texts == {0: "A B", 1: "A B", 2: "C", 3: "C"}
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (6, 6)
    assert last.model_extra == {"timings": {"queue_ms": 1.25, "inference_ms": 3.5}}


def test_a_chat(stand: Stand, ask: openai.OpenAI) -> None:
    answer = ask.chat.completions.create(model="second-generator", messages=MESSAGES)
    [choice] = answer.choices
    assert (answer.object, choice.message.role, choice.message.content) == ("chat.completion", "assistant", "HELLO YOU")
    assert choice.finish_reason == "stop"
    request = stand.chatter.seen[0]
    assert request.messages == (
        ChatMessage(role="system", content="Be kind."),
        ChatMessage(role="user", content="hello you"),
    )
    assert (request.decoding.max_new_tokens, request.decoding.do_sample) == (None, True), "all the room there is"


def test_a_chat_goes_on_from_an_answer_that_is_sent_back_as_it_came(stand: Stand, ask: openai.OpenAI) -> None:
    first = ask.chat.completions.create(model="second-generator", messages=MESSAGES).choices[0].message
    parts: dict = {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "text", "text": "now"}]}
    said = [{"role": "developer", "content": "Be kind."}, MESSAGES[1], first, parts]
    ask.chat.completions.create(model="second-generator", messages=said, max_completion_tokens=5, n=2)  # type: ignore[arg-type]
    messages = stand.chatter.seen[1].messages
    assert [(each.role, each.content) for each in messages] == [
        ("system", "Be kind."),
        ("user", "hello you"),
        ("assistant", "HELLO YOU"),
        ("user", "and\nnow"),
    ]
    assert stand.chatter.seen[1].decoding.max_new_tokens == 5


def test_a_stream_of_a_chat(ask: openai.OpenAI) -> None:
    asked: dict = {"stream_options": {"include_usage": True}, "logprobs": True, "top_logprobs": 1}
    *chunks, last = ask.chat.completions.create(model="second-generator", messages=MESSAGES, stream=True, **asked)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert [delta.content for delta in deltas] == ["", "HELLO", " YOU", None]
    assert [delta.role for delta in deltas] == ["assistant", None, None, None]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.completion_tokens == 2
    assert last.model_extra == {"timings": {"queue_ms": 1.25, "inference_ms": 3.5}}
    logprobs = chunks[2].choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    [token] = logprobs.content
    assert (token.token, token.logprob, token.bytes) == (" YOU", -0.5, [*b" YOU"])
    assert [(one.token, one.logprob) for one in token.top_logprobs] == [("0", -0.5)]


def test_embeddings_in_the_encoding_that_the_client_asks_for(ask: openai.OpenAI) -> None:
    for asked in ({}, {"encoding_format": "float"}):
        answer = ask.embeddings.create(model="embedder", input=["east", "far east", "else"], **asked)
        assert [item.index for item in answer.data] == [0, 1, 2]
        assert [item.embedding for item in answer.data][:2] == [[1.0, 0.0], [3.0, 0.0]]
        assert math.isclose(answer.data[2].embedding[0], 0.6, rel_tol=1e-6)
        assert answer.usage.prompt_tokens == answer.usage.total_tokens == 9
    assert ask.embeddings.create(model="embedder", input="north").data[0].embedding == [0.0, 1.0]


def test_errors_are_those_that_the_client_knows(stand: Stand, ask: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"serves generate \(it serves translate\)") as unknown:
        ask.completions.create(model="translator", prompt="a")
    error = unknown.value
    assert (error.code, error.type, error.param) == ("model_not_found", "invalid_request_error", "model")
    assert error.request_id
    with pytest.raises(openai.NotFoundError, match=r"\(it serves classify\)"):
        ask.embeddings.create(model="classifier", input="a")
    with pytest.raises(openai.UnprocessableEntityError, match="has no chat template") as refused:
        ask.chat.completions.create(model="generator", messages=MESSAGES)
    assert (refused.value.code, refused.value.param) == ("invalid_request", "model")
    stand.generator.breaks = ServiceError("fell over")
    with pytest.raises(openai.InternalServerError, match="fell over") as broken:
        ask.completions.create(model="generator", prompt="a")
    assert broken.value.type == "server_error"


def test_an_error_after_the_first_token_is_raised_by_the_stream(stand: Stand, ask: openai.OpenAI) -> None:
    stand.generator.failing_after_first = {"a b": ServiceError("fell over")}
    stream = ask.completions.create(model="generator", prompt="a b", stream=True)
    assert next(stream).choices[0].text == "A"
    with pytest.raises(openai.APIError, match="fell over") as broken:
        list(stream)
    assert (broken.value.type, broken.value.code) == ("server_error", "internal")


def test_an_error_before_it_is_a_plain_one(stand: Stand, ask: openai.OpenAI) -> None:
    stand.generator.refusing = {"a": ServiceError("fell over")}
    with pytest.raises(openai.InternalServerError, match="fell over"):
        ask.completions.create(model="generator", prompt="a", stream=True)


async def test_the_asynchronous_client(server: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(model="second-generator", messages=MESSAGES, stream=True)
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["", "HELLO", " YOU", None]


def test_hugging_faces_client_finds_chats_below_generate(stand: Stand) -> None:
    stand.generator.info = stand.chatter.info  # it sends no name, and so asks the first
    with stand.server() as server:
        client = InferenceClient(model=f"{server}/generate")
        assert client.chat_completion(MESSAGES, max_tokens=5).choices[0].message.content == "HELLO YOU"
        chunks = client.chat_completion(MESSAGES, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "HELLO YOU"
    assert len(stand.generator.seen) == 2


def test_a_stream_ends_with_done_and_has_a_space_after_its_colons(server: str) -> None:
    body = {"prompt": "a b", "stream": True}
    lines = httpx.post(f"{server}/v1/completions", json=body).text.strip().split("\n\n")
    assert all(line.startswith("data: {") for line in lines[:-1])
    assert lines[-1] == "data: [DONE]"


def test_the_clients_key_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    key = new_key()
    entry = {"name": "shop", "sha256": hash_of(key), "requests": "2/hour"}
    (tmp_path / "keys.yaml").write_text(yaml.safe_dump({"keys": [entry]}))
    with Stand({"keys": tmp_path / "keys.yaml"}, state=tmp_path / "state").server() as url:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="guessed", max_retries=0) as stranger:
            with pytest.raises(openai.AuthenticationError) as refused:
                stranger.completions.create(model="generator", prompt="a")
            assert refused.value.code == "invalid_api_key"
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
            assert len(client.models.list().data) == 3
            client.completions.create(model="generator", prompt="a")
            with pytest.raises(openai.RateLimitError) as full:
                client.completions.create(model="generator", prompt="a")
            assert full.value.code == "rate_limit_exceeded"
