"""POST /embed: vectors, and how similar texts are."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient

from tests.service.gateway.conftest import Stand


async def ask(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/embed", json={"inputs": "east", **body})


async def test_one_text_or_several_get_a_vector_each(client: httpx.AsyncClient) -> None:
    assert (await ask(client)).json() == [[1.0, 0.0]]
    assert (await ask(client, inputs=["north", "west"])).json() == [[0.0, 1.0], [-1.0, 0.0]]


async def test_a_text_is_compared_with_others_by_the_angle_of_their_vectors(client: httpx.AsyncClient) -> None:
    compared = {"source_sentence": "east", "sentences": ["far east", "north", "west", "anything else"]}
    response = await ask(client, inputs=compared, normalize=False)
    assert response.json() == pytest.approx([1.0, 0.0, -1.0, 0.6])


async def test_parameters_may_stand_beside_the_inputs_or_below_parameters(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    asked = {"pooling": "max", "normalize": False, "truncate": True, "truncation_direction": "left", "priority": 3}
    for body in (asked, {"parameters": asked}, {**asked, "parameters": asked}):
        assert (await ask(client, **body)).status_code == 200
        request = stand.embedder.seen[-1]
        assert {name: getattr(request, name) for name in asked} == asked
    response = await ask(client, pooling="max", parameters={"pooling": "mean"})
    assert response.status_code == 422
    assert 'pooling is "max" and in parameters "mean": they are the same' in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": []}, "inputs is an empty list"),
        ({"inputs": ["east", " "]}, 'inputs[1] is " ": there is nothing to work on'),
        ({"inputs": {"source_sentence": "a", "sentences": ["b", ""]}}, 'inputs.sentences[1] is "": there is nothing'),
        ({"inputs": {"source_sentence": "", "sentences": ["b"]}}, 'inputs.source_sentence is "": there is nothing'),
        ({"inputs": {"source_sentence": "a"}}, "expected a text, a list of texts, or an object with source_sentence"),
        ({"inputs": {"source_sentence": "a", "sentences": []}}, "expected a text, a list of texts, or an object"),
        ({"inputs": 5}, "inputs[0] is 5: expected a text, a list of texts, or an object"),
        ({"stream": True}, "stream is true: a vector is one event"),
        ({"pooling": "sum"}, 'pooling is "sum"'),
        ({"dimensions": 2}, "dimensions is 2: this parameter is not supported: leave it out"),
        ({"encoding_format": "base64"}, 'this parameter is not supported: leave it out or send "float"'),
        ({"poling": "max"}, "poling is unknown; known are"),
    ],
)
async def test_what_cannot_be_embedded_is_refused_in_words(
    client: httpx.AsyncClient, body: dict[str, Any], message: str
) -> None:
    response = await ask(client, **body)
    assert response.status_code == 422
    assert message in response.json()["error"]["message"]


async def test_a_text_of_too_many_characters_is_refused_unless_it_may_be_cut(stand: Stand) -> None:
    stand.embedder.info = replace(stand.embedder.info, max_characters=5)
    async with stand.client() as client:
        assert (await ask(client, inputs="far east")).json()["error"]["code"] == "input_too_long"
        assert (await ask(client, inputs="far east", truncate=True)).status_code == 200


async def test_the_clients_of_hugging_face_work_unchanged(server: str) -> None:
    client = InferenceClient(model=f"{server}/embed")
    vectors = await asyncio.to_thread(client.feature_extraction, "north", normalize=True, truncate=False)
    assert np.array_equal(vectors, [[0.0, 1.0]])
    similar = await asyncio.to_thread(client.sentence_similarity, "east", ["west", "east"])
    assert similar == [-1.0, 1.0]
