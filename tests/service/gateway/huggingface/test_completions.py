"""Several results, and where a translation's words come from, as JSON."""

from __future__ import annotations

import json

import httpx
import pytest

from service.gateway.answering import Answer
from service.gateway.huggingface.translate import TranslateBody
from service.messages import Alignment, Completion


async def ask(client: httpx.AsyncClient, route: str, **parameters: object) -> dict:
    response = await client.post(route, json={"inputs": "a b", "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()[0]


async def test_one_result_is_its_text_alone(client: httpx.AsyncClient) -> None:
    assert await ask(client, "/translate", src_lang="fr", num_beams=4) == {"translation_text": "A B"}
    assert await ask(client, "/generate", do_sample=True, seed=1) == {"generated_text": "A B"}


async def test_the_best_beams_come_with_their_scores(client: httpx.AsyncClient) -> None:
    assert await ask(client, "/translate", src_lang="fr", num_beams=4, n=3) == {
        "translation_text": "A B",
        "score": -1.0,
        "alternatives": [
            {"translation_text": "A B!", "score": -2.0},
            {"translation_text": "A B!!", "score": -3.0},
        ],
    }


async def test_samples_come_with_their_seeds(client: httpx.AsyncClient) -> None:
    assert await ask(client, "/generate", do_sample=True, seed=5, n=2, return_full_text=True) == {
        "generated_text": "a bA B",
        "score": -1.0,
        "seed": 5,
        "alternatives": [{"generated_text": "a bA B!", "score": -2.0, "seed": 6}],
    }


async def test_details_are_those_of_the_first_result(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "/generate", do_sample=True, seed=5, n=2, details=True)
    assert (answer["details"]["seed"], len(answer["details"]["tokens"]), len(answer["alternatives"])) == (5, 2, 1)


async def test_an_alignment_names_both_sides_tokens(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "/translate", src_lang="fr", return_alignment=True)
    assert answer["alignment"] == {
        "source_tokens": ["a", "b"],
        "target_tokens": ["A", " B"],
        "weights": [[1.0, 0.0], [0.0, 1.0]],
    }


async def test_a_streams_last_event_has_the_alignment(client: httpx.AsyncClient) -> None:
    body = {"inputs": "a b", "parameters": {"src_lang": "fr", "return_alignment": True}, "stream": True}
    lines = (await client.post("/translate", json=body)).text.split("\n\n")
    first, last = [json.loads(line.removeprefix("data:")) for line in lines if line]
    assert "alignment" not in first
    assert last["alignment"]["weights"] == [[1.0, 0.0], [0.0, 1.0]]


def test_weights_have_four_digits() -> None:
    result = Completion(
        request_id="r",
        text="A",
        finish_reason="length",
        prompt_tokens=1,
        generated_tokens=1,
        alignment=Alignment(source_tokens=("a", ""), target_tokens=("A",), weights=((0.123456, 0.876544),)),
    )
    [rendered] = TranslateBody(inputs="a").rendered([Answer(result)])
    [row] = rendered["alignment"]["weights"]
    assert row == [0.1235, 0.8765]
    assert sum(row) == pytest.approx(1, abs=1e-3)
