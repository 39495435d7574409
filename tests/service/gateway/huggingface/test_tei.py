"""Text-embeddings-inference's routes: labels, rankings, similarities and tokens."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.messages import Classification, ClassifyRequest, Request, Result
from service.messages.embed import EmbedRequest
from tests.service.gateway.conftest import Stand
from tests.service.gateway.fakes import FakeWorker
from tests.waiting import eventually

LABELS = [{"score": 0.75, "label": "good"}, {"score": 0.25, "label": "bad"}]


@pytest.fixture
def logits(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[float, ...]]:
    """What the classifier's labels get for a second text, which a test fills in."""
    found: dict[str, tuple[float, ...]] = {}
    result = FakeWorker._result

    def answered(self: FakeWorker, request: Request, tokens: Any) -> Result:
        made = result(self, request, tokens)
        if isinstance(request, ClassifyRequest) and isinstance(made, Classification) and request.text_pair in found:
            pairs = zip(self.info.labels, found[request.text_pair], strict=True)
            return replace(made, scores=tuple(sorted(pairs, key=lambda pair: -pair[1])))
        return made

    monkeypatch.setattr(FakeWorker, "_result", answered)
    return found


@pytest.mark.parametrize(
    ("inputs", "answer", "asked"),
    [
        ("a", LABELS, [("a", None)]),
        (["a"], LABELS, [("a", None)]),
        (["a", "b"], LABELS, [("a", "b")]),
        ([["a"], ["b", "c"]], [LABELS, LABELS], [("a", None), ("b", "c")]),
        ([["a"]], [LABELS], [("a", None)]),
    ],
)
async def test_a_text_a_pair_or_a_list_of_them_is_labelled(
    stand: Stand, client: httpx.AsyncClient, inputs: Any, answer: Any, asked: list
) -> None:
    response = await client.post("/predict", json={"inputs": inputs})
    assert (response.status_code, response.json()) == (200, answer)
    assert [(request.text, request.text_pair) for request in stand.classifier.seen] == asked


async def test_what_is_asked_of_a_prediction_reaches_the_worker(stand: Stand, client: httpx.AsyncClient) -> None:
    asked = {"raw_scores": True, "truncate": True, "truncation_direction": "Left"}
    for body in (asked, {"raw_scores": False}, {}):
        assert (await client.post("/predict", json={"inputs": "a", **body})).status_code == 200
    first, *others = stand.classifier.seen
    assert (first.function_to_apply, first.truncate, first.truncation_direction) == ("none", True, "left")
    assert [(one.function_to_apply, one.truncate) for one in others] == [(None, False)] * 2


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/predict", {"inputs": []}, "inputs is an empty list"),
        ("/predict", {"inputs": ["a", "b", "c"]}, "expected a text, a pair [text, text], or a list of"),
        ("/predict", {"inputs": [["a"], "b"]}, "expected a text, a pair"),
        ("/predict", {"inputs": [["a", "b", "c"]]}, "expected a text, a pair"),
        ("/predict", {"inputs": {"text": "a"}}, "expected a text, a pair"),
        ("/predict", {"inputs": [["a"], ["b", " "]]}, 'inputs[1][1] is " ": there is nothing to work on'),
        ("/predict", {"inputs": "a", "top_k": 1}, "top_k is unknown; known are inputs, raw_scores, truncate"),
        ("/rerank", {"query": "a", "texts": []}, "texts is an empty list"),
        ("/rerank", {"query": "a"}, "texts is missing"),
        ("/rerank", {"query": " ", "texts": ["a"]}, 'query is " ": there is nothing to work on'),
        ("/rerank", {"query": "a", "texts": ["a", ""]}, 'texts[1] is "": there is nothing to work on'),
        ("/rerank", {"query": "a", "texts": ["a"] * 257}, "texts has 257 texts, the limit is 256"),
        ("/similarity", {"inputs": "a"}, "expected an object with source_sentence and sentences"),
        ("/tokenize", {"inputs": []}, "inputs is an empty list"),
        ("/tokenize", {"inputs": 5}, "expected a text, or a list of texts"),
        ("/decode", {"ids": [-1]}, "expected token ids, 0 to 2147483647, or a list of lists of them"),
        ("/decode", {"ids": "a"}, "ids is"),
        ("/decode", {"ids": [[]] * 257}, "ids has 257 texts, the limit is 256"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words(
    client: httpx.AsyncClient, path: str, body: dict, said: str
) -> None:
    response = await client.post(path, json=body)
    assert response.status_code == 422
    assert said in response.json()["error"]["message"]


async def test_a_classifier_of_single_texts_takes_no_pairs(stand: Stand) -> None:
    stand.classifier.info = replace(stand.classifier.info, takes_pairs=False)
    async with stand.client() as client:
        response = await client.post("/predict", json={"inputs": ["a", "b"]})
        assert "was trained on single texts" in response.json()["error"]["message"]
        response = await client.post("/rerank", json={"query": "a", "texts": ["b"], "model": "classifier"})
        assert "it says nothing of a query and a text" in response.json()["error"]["message"]


async def rank(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/rerank", json={"query": "east", "texts": ["north", "west", "far east"], **body})


async def test_texts_are_ranked_by_their_vectors_where_no_classifier_can(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    answer = (await rank(client)).json()
    assert [each["index"] for each in answer] == [2, 0, 1]
    assert [each["score"] for each in answer] == pytest.approx([1, 0, -1])
    assert (await rank(client, return_text=True)).json()[0] == {"index": 2, "score": 1.0, "text": "far east"}
    assert not stand.classifier.seen, "neither good nor bad means relevant"
    assert (await rank(client, truncate=True, truncation_direction="Left")).status_code == 200
    request = stand.embedder.seen[-1]
    assert isinstance(request, EmbedRequest)
    assert (request.truncate, request.truncation_direction) == (True, "left")


async def test_a_classifier_of_pairs_ranks_by_the_label_that_means_relevant(
    stand: Stand, logits: dict[str, tuple[float, ...]]
) -> None:
    stand.classifier.info = replace(stand.classifier.info, labels=("Irrelevant", "Relevant"))
    logits |= {"north": (1.0, 3.0), "west": (2.0, -1.0), "far east": (0.0, 1.0)}
    async with stand.client() as client:
        answer = (await rank(client)).json()
        assert [each["index"] for each in answer] == [0, 2, 1]
        expected = [1 / (1 + math.exp(-odds)) for odds in (2, 1, -3)]
        assert [each["score"] for each in answer] == pytest.approx(expected)
        raw = (await rank(client, raw_scores=True)).json()
        assert [each["score"] for each in raw] == pytest.approx([2, 1, -3])
        assert [(one.text, one.text_pair) for one in stand.classifier.seen[:3]] == [
            ("east", "north"),
            ("east", "west"),
            ("east", "far east"),
        ]
        other = (await rank(client, label="Irrelevant")).json()
        assert [each["index"] for each in other] == [1, 2, 0]
        assert (await rank(client, model="embedder")).json()[0]["index"] == 2


async def test_a_single_label_is_the_score_itself(stand: Stand, logits: dict[str, tuple[float, ...]]) -> None:
    stand.classifier.info = replace(stand.classifier.info, labels=("x",))
    logits |= {"north": (0.0,), "west": (-800.0,), "far east": (2.0,)}
    async with stand.client() as client:
        answer = (await rank(client)).json()
    assert [each["index"] for each in answer] == [2, 0, 1]
    assert [each["score"] for each in answer] == pytest.approx([1 / (1 + math.exp(-2)), 0.5, 0.0])


async def test_a_model_that_cannot_rank_is_refused(stand: Stand, client: httpx.AsyncClient) -> None:
    response = await rank(client, model="classifier")
    assert response.status_code == 422
    message = response.json()["error"]["message"]
    assert message == "label is missing: which of good, bad means that a text is relevant?"
    response = await rank(client, model="classifier", label="best")
    assert response.json()["error"]["message"].startswith("label is 'best': which of good, bad")
    response = await rank(client, model="generator")
    assert (response.status_code, response.json()["error"]["available"]) == (404, ["classifier", "embedder"])


async def test_a_ranking_is_refused_where_all_that_could_are_silent(
    stand: Stand, logits: dict[str, tuple[float, ...]]
) -> None:
    logits |= dict.fromkeys(("north", "west", "far east"), (0.0, 1.0))
    stand.embedder.ready = stand.classifier.ready = False
    async with stand.client() as client:
        assert (await rank(client)).status_code == 503
        stand.classifier.ready = True
        stand.classifier.info = replace(stand.classifier.info, labels=("no", "yes"))
        assert (await client.get("/readyz")).status_code == 503
        await eventually(lambda: stand.sample("triptych_model_ready", model="classifier") == 1)
        assert (await rank(client)).status_code == 200


async def test_texts_are_compared_with_one(client: httpx.AsyncClient) -> None:
    inputs = {"source_sentence": "east", "sentences": ["far east", "north"]}
    response = await client.post("/similarity", json={"inputs": inputs, "parameters": {"truncate": True}})
    assert response.json() == pytest.approx([1.0, 0.0])


async def test_texts_become_tokens_and_tokens_texts(client: httpx.AsyncClient) -> None:
    start = {"id": 1, "text": "<s>", "special": True, "start": None, "stop": None}
    letter = {"id": 97, "text": "a", "special": False, "start": 0, "stop": 1}
    assert (await client.post("/tokenize", json={"inputs": "a"})).json() == [[start, letter]]
    body = {"inputs": ["a", ""], "add_special_tokens": False, "prompt_name": None}
    response = await client.post("/tokenize", json=body)
    assert response.json() == [[letter], []]
    assert response.headers["x-model-version"] == "translator@1", "the first of /info"
    response = await client.post("/tokenize", json={"inputs": "a", "model": "embedder"})
    assert response.headers["x-model-version"] == "embedder@1"
    assert (await client.post("/decode", json={"ids": [97, 98]})).json() == ["ab"]
    assert (await client.post("/decode", json={"ids": [[97], [98, 99], []]})).json() == ["a", "bc", ""]
    assert (await client.post("/decode", json={"ids": []})).json() == [""]


async def test_tokens_that_cannot_be_told_are_refused(stand: Stand) -> None:
    stand = Stand(limits={"max_characters": 5, "request_timeout_s": 0.3})
    async with stand.client() as client:
        response = await client.post("/decode", json={"ids": [[1], [60000]]})
        assert (response.status_code, response.json()["error"]["message"]) == (422, "an id is too high")
        response = await client.post("/decode", json={"ids": [1, 2, 3, 4, 5, 6]})
        assert response.json()["error"]["message"] == "ids has 6 token ids, the limit is 5"
        response = await client.post("/tokenize", json={"inputs": ["abc", "def"]})
        assert response.json()["error"]["code"] == "input_too_long"
        response = await client.post("/tokenize", json={"inputs": "a", "model": "nobody"})
        assert (response.status_code, response.json()["error"]["available"]) == (404, list(stand.workers))
        stand.translator.hanging = True
        assert (await client.post("/tokenize", json={"inputs": "a"})).json()["error"]["code"] == "deadline_exceeded"


async def test_tokenizing_has_its_room_in_the_gateway() -> None:
    stand = Stand(limits={"max_in_flight": 2})
    stand.generator.holding = {"a"}
    async with stand.client() as client:
        asking = asyncio.create_task(client.post("/generate", json={"inputs": ["a", "a"]}))
        await eventually(lambda: stand.generator.batches)
        refused = await client.post("/tokenize", json={"inputs": "a"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        stand.generator.release()
        assert (await asking).status_code == 200
        assert (await client.post("/tokenize", json={"inputs": "a"})).status_code == 200


async def test_vectors_that_no_model_gives_are_refused_by_what_there_is(client: httpx.AsyncClient) -> None:
    for path in ("/embed_all", "/embed_sparse"):
        response = await client.post(path, json={"inputs": "a"})
        assert (response.status_code, response.json()["error"]["code"]) == (422, "not_supported")
        assert "/embed gives" in response.json()["error"]["message"]


async def test_what_embeddings_take_there_they_take_here(stand: Stand, client: httpx.AsyncClient) -> None:
    body = {"inputs": ["a"], "normalize": False, "truncate": None, "truncation_direction": "Left", "prompt_name": None}
    assert (await client.post("/embed", json=body)).status_code == 200
    request = stand.embedder.seen[0]
    assert (request.normalize, request.truncation_direction) == (False, "left")


async def test_a_ranking_is_refused_early_where_neither_task_has_room() -> None:
    stand = Stand(served={"slots": 1, "max_waiting": 1})
    async with stand.client() as client:
        for worker in (stand.classifier, stand.embedder):
            worker.holding = {"a"}
        held = [client.post(path, json={"inputs": ["a", "a"]}) for path in ("/classify", "/embed")]
        asking = [asyncio.create_task(each) for each in held]
        await eventually(lambda: stand.classifier.batches and stand.embedder.batches)
        assert (await client.post("/rerank", content=b"no JSON")).status_code == 503
        stand.classifier.release()
        await asking[0]
        assert (await client.post("/rerank", content=b"no JSON")).status_code == 400
        stand.embedder.release()
        await asking[1]
