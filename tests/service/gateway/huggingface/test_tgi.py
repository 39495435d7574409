"""Text-generation-inference's routes, by its own client, and what it shares with /generate.

The client asks for a `huggingface-hub` below 1.0, which nothing here has, and can do without: `make test` installs it
without what it asks for. What it needs comes with ray.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import OverloadedError, ValidationError

from service.errors import DeadlineExceeded, InputTooLong, NotReady, Overloaded, ServiceError
from service.messages import Token
from tests.service.gateway.conftest import Stand
from tests.service.gateway.fakes import FakeWorker

text_generation = pytest.importorskip("text_generation", reason="text-generation is not installed: make test does it")


@pytest.fixture
def likelier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is drawn, what comes later is likelier."""
    answer = FakeWorker._answer

    async def numbered(self: FakeWorker, request: Any, queue: asyncio.Queue) -> None:
        own: asyncio.Queue = asyncio.Queue()
        await answer(self, request, own)
        number = int(request.id.rpartition(".")[2])
        while not own.empty():
            for event in own.get_nowait():
                if isinstance(event, Token):
                    object.__setattr__(event, "logprob", -1 / (number + 1))
                queue.put_nowait([event])

    monkeypatch.setattr(FakeWorker, "_answer", numbered)


def test_its_client_generates(stand: Stand, server: str) -> None:
    client = text_generation.Client(server)
    answer = client.generate("once upon", max_new_tokens=5, seed=4)
    assert answer.generated_text == "ONCE UPON"
    assert (answer.details.finish_reason.value, answer.details.generated_tokens, answer.details.seed) == (
        "eos_token",
        2,
        4,
    )
    assert [token.text for token in answer.details.tokens] == ["ONCE", " UPON"]
    answer = client.generate("once there upon", stop_sequences=[" UPON"], top_n_tokens=2, return_full_text=True)
    assert answer.generated_text == "once there uponONCE THERE"
    assert answer.details.finish_reason.value == "stop_sequence"
    assert [[token.id for token in best] for best in answer.details.top_tokens] == [[10, 11], [11, 12]]


def test_its_client_streams(server: str) -> None:
    events = list(text_generation.Client(server).generate_stream("once upon a", max_new_tokens=5, seed=1))
    assert [event.token.text for event in events] == ["ONCE", " UPON", " A"]
    assert [event.generated_text for event in events] == [None, None, "ONCE UPON A"]
    assert events[-1].details.seed == 1


async def test_its_asynchronous_client_generates_and_streams(server: str) -> None:
    client = text_generation.AsyncClient(server)
    assert (await client.generate("a b")).generated_text == "A B"
    assert [event.token.text async for event in client.generate_stream("a b")] == ["A", " B"]


def test_a_temperature_implies_sampling_although_its_client_sends_that_it_does_not(stand: Stand, server: str) -> None:
    client = text_generation.Client(server)
    for asked in ({"temperature": 0.5}, {"top_k": 3}, {"do_sample": True}, {}):
        client.generate("a", **asked)
    assert [request.decoding.do_sample for request in stand.generator.seen] == [True, True, True, False]


@pytest.mark.usefixtures("likelier")
def test_its_client_gets_the_likeliest_of_several_and_the_others(stand: Stand, server: str) -> None:
    details = text_generation.Client(server).generate("a b", best_of=3, temperature=0.5).details
    assert [request.text for request in stand.generator.seen] == ["a b"] * 3
    assert [token.logprob for token in details.tokens] == [-1 / 3] * 2
    others = details.best_of_sequences
    assert [[token.logprob for token in other.tokens] for other in others] == [[-1 / 2] * 2, [-1] * 2]
    assert [(other.generated_text, other.generated_tokens) for other in others] == [("A B", 2)] * 2


async def test_of_several_with_a_seed_each_has_the_next_one(stand: Stand, client: httpx.AsyncClient) -> None:
    body = {"inputs": "a", "parameters": {"best_of": 3, "do_sample": True, "seed": 5, "priority": 2}}
    assert (await client.post("/", json=body)).json() == [{"generated_text": "A"}]
    assert [(request.decoding.seed, request.priority) for request in stand.generator.seen] == [(5, 2), (6, 2), (7, 2)]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"best_of": 2}, "best_of is 2, which does not go with greedy decoding: nothing is drawn"),
        ({"best_of": 2, "do_sample": True, "n": 2}, "which does not go with num_return_sequences"),
        ({"best_of": 2, "num_beams": 2}, "which does not go with num_beams"),
        ({"best_of": 17, "do_sample": True}, "parameters.best_of is 17: expected at most 16"),
        ({"grammar": {"type": "regex", "value": "a"}}, "this parameter is not supported"),
        ({"truncate": 5}, "this parameter is not supported"),
    ],
)
async def test_what_cannot_be_drawn_is_refused(client: httpx.AsyncClient, parameters: dict, said: str) -> None:
    response = await client.post("/", json={"inputs": "a", "parameters": parameters})
    assert (response.status_code, response.json()["error_type"]) == (422, "validation")
    assert said in response.json()["error"]["message"]


async def test_the_likeliest_of_several_is_not_streamed(client: httpx.AsyncClient) -> None:
    asked = {"inputs": "a", "parameters": {"best_of": 2, "do_sample": True}}
    for path, body in (("/", {**asked, "stream": True}), ("/generate_stream", asked)):
        response = await client.post(path, json=body)
        assert "best_of is 2, which does not go with stream" in response.json()["error"]["message"]


async def test_generate_stream_streams_whatever_the_body_says(client: httpx.AsyncClient) -> None:
    for body in ({"inputs": "a b"}, {"inputs": "a b", "stream": False}):
        response = await client.post("/generate_stream", json=body)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.text.count("data:") == 2


async def test_there_is_one_text_at_a_time(client: httpx.AsyncClient) -> None:
    for inputs in (["a", "b"], ["a"], None, {"text": "a"}):
        response = await client.post("/", json={"inputs": inputs})
        assert response.status_code == 422
        assert "expected a text" in response.json()["error"]["message"]


REFUSALS = [
    (InputTooLong("81 tokens, the limit is 64"), "ValidationError", "validation"),
    (Overloaded("too many wait"), "OverloadedError", "overloaded"),
    (ServiceError("the model failed"), "GenerationError", "generation"),
    (DeadlineExceeded("the deadline passed"), "ShardTimeoutError", None),
    (NotReady("still loading"), "UnknownError", "healthcheck"),
]


@pytest.mark.parametrize(("error", "name", "kind"), REFUSALS, ids=[name for _, name, _ in REFUSALS])
def test_its_client_raises_its_own_exceptions_with_our_error_in_them(
    stand: Stand, server: str, error: ServiceError, name: str, kind: str | None
) -> None:
    stand.generator.refusing = {"a": error}
    expected = getattr(text_generation.errors, name)
    client = text_generation.Client(server)
    for ask in (client.generate, lambda text: list(client.generate_stream(text))):
        with pytest.raises(expected) as caught:
            ask("a")
        assert caught.value.args[0]["code"] == error.code
        assert caught.value.args[0]["message"] == error.message
    response = httpx.post(server, json={"inputs": "a"})
    assert response.json().get("error_type") == kind


@pytest.mark.parametrize(
    ("error", "name"),
    [(ServiceError("fell over"), "GenerationError"), (DeadlineExceeded("too late"), "IncompleteGenerationError")],
)
def test_a_stream_that_breaks_off_raises_its_own_exceptions_too(
    stand: Stand, server: str, error: ServiceError, name: str
) -> None:
    stand.generator.failing_after_first = {"a b": error}
    events = text_generation.Client(server).generate_stream("a b")
    assert next(events).token.text == "A"
    with pytest.raises(getattr(text_generation.errors, name)):
        next(events)


def test_a_service_without_a_generator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.service.gateway.conftest.MODELS", {"classifier": "classify"})
    with Stand().server() as url, pytest.raises(text_generation.errors.NotFoundError) as caught:
        text_generation.Client(url).generate("a")
    assert caught.value.args[0]["message"] == "no model serves generate; available: none"


def test_hugging_faces_client_works_with_the_address_alone(stand: Stand, server: str) -> None:
    client = InferenceClient(model=server)
    assert client.text_generation("once upon", max_new_tokens=5) == "ONCE UPON"
    assert list(client.text_generation("once upon", stream=True)) == ["ONCE", " UPON"]
    stand.generator.refusing = {"a": Overloaded("too many wait")}
    for text, expected in (("a", OverloadedError), (" ", ValidationError)):
        with pytest.raises(expected):
            client.text_generation(text)


async def test_other_routes_have_the_error_alone(stand: Stand, client: httpx.AsyncClient) -> None:
    stand.generator.refusing = {"a": Overloaded("too many wait")}
    for path, expected in (("/generate", {"error"}), ("/", {"error", "error_type"})):
        response = await client.post(path, json={"inputs": "a"})
        assert response.json().keys() == expected
        assert response.headers["retry-after"]
    assert (await client.get("/")).status_code == 307


async def test_what_is_refused_early_has_a_type_too() -> None:
    stand = Stand()
    for worker in stand.workers.values():
        worker.ready = False
    async with stand.client() as client:
        for path in ("/", "/generate_stream"):
            response = await client.post(path, json={"inputs": "a"})
            assert (response.status_code, response.json()["error_type"]) == (503, "healthcheck")
