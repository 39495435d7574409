from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.gateway.deepl.routes import BASES
from tests.service.gateway.conftest import Stand

TRANSLATE = f"{BASES[0]}/translate"


async def test_forms_say_the_same(stand: Stand, client: httpx.AsyncClient) -> None:
    body = "text=a%20%26%20b&text=c&source_lang=FR&target_lang=EN&show_billed_characters=1"
    body += "&tag_handling=xml&ignore_tags=x,y&outline_detection=1"
    response = await client.post(TRANSLATE, content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert response.json() == {
        "translations": [
            {"detected_source_language": "FR", "text": "A & B", "billed_characters": 5},
            {"detected_source_language": "FR", "text": "C", "billed_characters": 1},
        ]
    }
    assert stand.translator.seen[0].elements.kept == ("x", "y")


async def test_a_text_that_is_in_its_target_language_comes_back(stand: Stand, client: httpx.AsyncClient) -> None:
    body = {"text": "I am very tired this evening.", "target_lang": "EN-US"}
    said = {"detected_source_language": "EN", "text": "I am very tired this evening."}
    assert (await client.post(TRANSLATE, json=body)).json() == {"translations": [said]}
    assert stand.translator.seen == []


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the body is empty, expected JSON"),
        (b"{}", 400, "text is missing"),
        (b'{"text": ["a"]}', 400, "target_lang is missing"),
        (b'{"text": [5], "target_lang": "EN"}', 400, "text[0] is 5: expected a text, or a list of texts"),
        (b'{"text": [], "target_lang": "EN"}', 400, "text is an empty list"),
        (b'{"text": ["a"], "target_lang": "DE"}', 400, "no translation for auto-DE; available: fr-en"),
        (b'{"text": ["a"], "target_lang": "EN", "show_billed_characters": 1}', 400, "show_billed_characters is 1: "),
    ],
)
async def test_what_is_wrong_has_deepls_shape(client: httpx.AsyncClient, body: bytes, status: int, said: str) -> None:
    response = await client.post(TRANSLATE, content=body, headers={"x-request-id": "mine"})
    assert (response.status_code, list(response.json())) == (status, ["message", "detail"])
    assert response.json()["message"].startswith(said)
    assert response.json()["detail"].endswith(", request mine")


@pytest.mark.parametrize("query", ["?type=other", "?colour=red"])
async def test_a_kind_of_language_that_there_is_not_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"{BASES[0]}/languages{query}")).status_code == 400
    assert len((await client.get(f"{BASES[0]}/languages?type=target")).json()) == 3


async def test_every_example_of_the_documentation_works(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    examples = document["paths"][TRANSLATE]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples == {"One text": {"value": {"text": ["bonjour"], "source_lang": "FR", "target_lang": "EN-GB"}}}
    for example in examples.values():
        assert (await client.post(TRANSLATE, json=example["value"])).status_code == 200


@pytest.mark.parametrize("base", BASES)
async def test_unknown_paths_are_told_in_its_shape(stand: Stand, base: str) -> None:
    transport = httpx.ASGITransport(app=stand.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer: Any = (await client.get(f"{base}/nowhere")).json()
        assert answer["message"] == f"there is nothing at {base}/nowhere; /docs lists what there is"
