from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from service.gateway.azure.routes import DETECT, TRANSLATE
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually

TO_ENGLISH = f"{TRANSLATE}?api-version=3.0&from=fr&to=en"


async def test_a_text_may_be_written_with_a_capital_as_most_write_it(client: httpx.AsyncClient) -> None:
    response = await client.post(TO_ENGLISH, json=[{"Text": "a"}, {"text": "b"}])
    assert response.json() == [{"translations": [{"text": text, "to": "en"}]} for text in ("A", "B")]


async def test_an_empty_source_is_found_out(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{TRANSLATE}?from=&to=en", json=[{"Text": "Je suis fatigué ce soir."}])
    assert response.json()[0]["detectedLanguage"]["language"] == "fr"


async def test_of_what_several_targets_find_out_the_surest_is_told(client: httpx.AsyncClient) -> None:
    """Korean is not translated into French: for that a text can be in English or French alone."""
    response = await client.post(f"{TRANSLATE}?to=fr&to=en", json=[{"Text": "저는 피곤합니다."}])
    assert response.json()[0]["detectedLanguage"]["language"] == "ko"


async def test_it_detects_languages(client: httpx.AsyncClient) -> None:
    body = [{"Text": "Je suis fatigué ce soir."}, {"Text": "저는 피곤합니다."}]
    found = (await client.post(f"{DETECT}?api-version=3.0", json=body)).json()
    assert [each["language"] for each in found] == ["fr", "ko"]
    assert 0.9 < found[0].pop("score") <= 1
    assert found[0] == {"language": "fr", "isTranslationSupported": True, "isTransliterationSupported": False}


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "said"),
    [
        (TO_ENGLISH, b"", 400, 400074, "the body is empty, expected JSON"),
        (TO_ENGLISH, b"{", 400, 400074, "the body is not JSON"),
        (TO_ENGLISH, b"5", 400, 400074, "the body is 5, expected a list of objects with text"),
        (TO_ENGLISH, b'{"text": "a"}', 400, 400074, 'the body is {"text": "a"}, expected a list of objects with text'),
        (TO_ENGLISH, b'{"body": []}', 400, 400074, 'the body is {"body": []}, expected a list of objects with text'),
        (TO_ENGLISH, b"[]", 400, 400000, "body is an empty list"),
        (TO_ENGLISH, b"[5]", 400, 400000, "body[0] is 5: expected an object"),
        (TO_ENGLISH, b'[{"text": "a"}, {}]', 400, 400000, "body[1].text is missing"),
        (TO_ENGLISH, b'[{"Text": 5}]', 400, 400000, "body[0].Text is 5: expected a text"),
        (TO_ENGLISH, b'[{"text": "a", "to": "en"}]', 400, 400000, "body[0].to is unknown; known are text"),
        (TRANSLATE, b"[]", 400, 400000, "to is missing"),
        (f"{TRANSLATE}?to=", b'[{"text": "a"}]', 400, 400023, "no translation for auto-; available: fr-en"),
        (f"{DETECT}?to=en", b'[{"text": "a"}]', 400, 400000, "to is unknown; known are api-version"),
        (DETECT, b"[]", 400, 400000, "body is an empty list"),
    ],
)
async def test_what_is_wrong_has_azures_shape(
    client: httpx.AsyncClient, path: str, body: bytes, status: int, code: int, said: str
) -> None:
    response = await client.post(path, content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.json()["error"]["message"].startswith(said)


async def test_clients_of_another_version_hear_which_one_is_there(client: httpx.AsyncClient) -> None:
    body = {"inputs": [{"text": "a", "language": "fr", "targets": [{"language": "en"}]}]}
    for path in (TRANSLATE, DETECT):
        response = await client.post(f"{path}?api-version=2026-06-06", json=body)
        assert response.json()["error"]["message"] == 'api-version is "2026-06-06": expected "3.0"'


async def test_a_body_of_another_kind_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post(TO_ENGLISH, content="Text=a", headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()["error"]["code"]) == (415, 415000)


async def test_a_full_translator_refuses_before_the_body_is_read() -> None:
    stand = Stand(served={"slots": 1, "max_waiting": 1})
    stand.translator.holding = {"a"}
    async with stand.client() as client:
        holding = asyncio.create_task(client.post(TO_ENGLISH, json=[{"Text": "a"}] * 2))
        await eventually(lambda: len(stand.translator.seen) == 2)
        response = await client.post(TO_ENGLISH, content=b"not even JSON")
        assert (response.status_code, response.json()["error"]["code"]) == (503, 503000)
        assert response.headers["retry-after"]
        stand.translator.release()
        assert (await holding).status_code == 200


async def test_every_example_of_the_documentation_works(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, query in ((TRANSLATE, "?to=en"), (DETECT, "")):
        examples = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert examples == {"One text": {"value": [{"text": "bonjour"}]}}
        for example in examples.values():
            assert (await client.post(f"{path}{query}", json=example["value"])).status_code == 200


async def test_unknown_paths_and_methods_are_told_in_its_shape(stand: Stand) -> None:
    transport = httpx.ASGITransport(app=stand.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer: Any = (await client.get("/azure/nowhere")).json()
        said = "there is nothing at /azure/nowhere; /docs lists what there is"
        assert answer == {"error": {"code": 404000, "message": said}}
        assert (await client.get(TRANSLATE)).json()["error"]["code"] == 405000
