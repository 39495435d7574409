from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.gateway.google.routes import DETECT, LANGUAGES, TRANSLATE
from service.gateway.keys import hash_of, new_key
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually

URLENCODED = {"content-type": "application/x-www-form-urlencoded"}


def told(*texts: str) -> dict[str, Any]:
    return {"data": {"translations": [{"translatedText": text} for text in texts]}}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_query_may_say_it_all(client: httpx.AsyncClient, method: str) -> None:
    query = "q=a%20%26%20b&q=&q=c&source=fr&target=en&format=text&key=any&alt=json&prettyPrint=true"
    response = await client.request(method, f"{TRANSLATE}?{query}")
    assert response.json() == told("A & B", "", "C")
    response = await client.request(method, f"{DETECT}?q=Je%20suis%20fatigué%20ce%20soir.")
    assert response.json()["data"]["detections"][0][0]["language"] == "fr"


async def test_a_form_says_the_same(client: httpx.AsyncClient) -> None:
    body = "q=a&q=b&source=fr&target=en&key=any"
    headers = {**URLENCODED, "x-http-method-override": "GET"}  # as those send it whose texts are too long for a query
    assert (await client.post(TRANSLATE, content=body, headers=headers)).json() == told("A", "B")


async def test_what_the_body_says_counts_before_what_the_query_says(stand: Stand, client: httpx.AsyncClient) -> None:
    response = await client.post(f"{TRANSLATE}?target=de&source=fr&format=text", json={"q": "a", "target": "en"})
    assert response.json() == told("A")
    assert stand.translator.seen[0].format == "text"


async def test_an_empty_source_is_found_out(client: httpx.AsyncClient) -> None:
    response = await client.get(f"{TRANSLATE}?q=Je%20suis%20fatigué%20ce%20soir.&source=&target=en")
    assert response.json()["data"]["translations"][0]["detectedSourceLanguage"] == "fr"


async def test_a_text_that_is_in_its_target_language_comes_back(stand: Stand, client: httpx.AsyncClient) -> None:
    text = "I am very tired this evening."
    response = await client.post(TRANSLATE, json={"q": text, "target": "en"})
    said = {"translatedText": text, "detectedSourceLanguage": "en"}
    assert response.json() == {"data": {"translations": [said]}}
    assert stand.translator.seen == []


async def test_languages_have_names_where_a_target_is_said(client: httpx.AsyncClient) -> None:
    bare = (await client.get(LANGUAGES)).json()
    assert bare == {"data": {"languages": [{"language": "fr"}, {"language": "en"}, {"language": "ko"}]}}
    named = (await client.get(f"{LANGUAGES}?target=fr&model=nmt")).json()
    assert named["data"]["languages"][0] == {"language": "fr", "name": "French"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "q is missing"),
        (b"{", 400, "the body is not JSON"),
        (b"[]", 400, "the body is [], expected an object with q and target"),
        (b"{}", 400, "q is missing"),
        (b'{"q": "a"}', 400, "target is missing"),
        (b'{"q": [5], "target": "en"}', 400, "q[0] is 5: expected a text, or a list of texts"),
        (b'{"q": {"a": 1}, "target": "en"}', 400, 'q[0] is {"a": 1}: expected a text, or a list of texts'),
        (b'{"q": [], "target": "en"}', 400, "q is an empty list"),
        (b'{"q": "a", "target": ""}', 400, "no translation for auto-; available: fr-en"),
        (
            b'{"q": "a", "target": "en", "colour": 1}',
            400,
            "colour is unknown; known are model, key, alt, prettyPrint, q",
        ),
    ],
)
async def test_what_is_wrong_has_googles_shape(client: httpx.AsyncClient, body: bytes, status: int, said: str) -> None:
    response = await client.post(TRANSLATE, content=body)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["status"]) == (status, "INVALID_ARGUMENT")
    assert error["message"].startswith(said)
    assert [each["message"] for each in error["errors"]] == [error["message"]]


async def test_a_body_of_another_kind_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post(TRANSLATE, content="q=a", headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()["error"]["code"]) == (415, 415)
    assert response.json()["error"]["message"].startswith('content-type is "text/plain", expected one of ')


@pytest.mark.parametrize("place", ["header", "query"])
async def test_a_key_may_stand_in_the_query_or_a_header(tmp_path: Path, place: str) -> None:
    key = new_key()
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: shop, sha256: {hash_of(key)}}}]")
    async with Stand({"keys": tmp_path / "keys.yaml"}, state=tmp_path / "state").client() as client:
        said = {"headers": {"x-goog-api-key": key}} if place == "header" else {"params": {"key": key}}
        assert (await client.get(LANGUAGES, **said)).status_code == 200
        refused = await client.get(LANGUAGES, params={"key": "wrong"})
        assert refused.status_code == 403
        assert refused.json()["error"]["status"] == "PERMISSION_DENIED"


async def test_a_full_translator_refuses_before_the_body_is_read() -> None:
    stand = Stand(served={"slots": 1, "max_waiting": 1})
    stand.translator.holding = {"a"}
    async with stand.client() as client:
        asked = {"q": ["a", "a"], "source": "fr", "target": "en", "format": "text"}
        holding = asyncio.create_task(client.post(TRANSLATE, json=asked))
        await eventually(lambda: len(stand.translator.seen) == 2)
        response = await client.post(TRANSLATE, content=b"not even JSON")
        assert (response.status_code, response.json()["error"]["status"]) == (503, "UNAVAILABLE")
        assert response.headers["retry-after"]
        stand.translator.release()
        assert (await holding).status_code == 200


async def test_every_example_of_the_documentation_works(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path in (TRANSLATE, DETECT):
        examples = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert examples
        for example in examples.values():
            assert (await client.post(path, json=example["value"])).status_code == 200


async def test_unknown_paths_and_methods_are_told_in_its_shape(stand: Stand) -> None:
    transport = httpx.ASGITransport(app=stand.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        error = (await client.get("/language/translate/v3")).json()["error"]
        assert error["message"] == "there is nothing at /language/translate/v3; /docs lists what there is"
        assert (error["code"], error["status"]) == (404, "NOT_FOUND")
        assert (await client.put(TRANSLATE)).json()["error"]["code"] == 405
