from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.gateway.keys import hash_of, new_key
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually

TRANSLATE = "/libretranslate/translate"


async def post(client: httpx.AsyncClient, **body: Any) -> Any:
    response = await client.post(TRANSLATE, json={"source": "fr", "target": "en", **body})
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_list_gets_a_list_in_its_order_and_one_text_gets_one(client: httpx.AsyncClient) -> None:
    assert await post(client, q=["a b", "", " ", "c"]) == {"translatedText": ["A B", "", " ", "C"]}
    assert await post(client, q=["a"]) == {"translatedText": ["A"]}
    assert await post(client, q="a") == {"translatedText": "A"}


async def test_a_text_that_says_nothing_asks_no_model(stand: Stand, client: httpx.AsyncClient) -> None:
    assert await post(client, q=["", "\n"]) == {"translatedText": ["", "\n"]}
    assert stand.translator.seen == []


async def test_what_was_detected_comes_along_for_each_text(stand: Stand, client: httpx.AsyncClient) -> None:
    answer = await post(client, q="Je suis fatigué ce soir.", source="auto")
    assert answer["detectedLanguage"]["language"] == "fr"
    assert 90 < answer["detectedLanguage"]["confidence"] <= 100
    answer = await post(client, q=["저는 피곤합니다.", "I am tired this evening."], source="auto")
    assert [each["language"] for each in answer["detectedLanguage"]] == ["ko", "en"]
    assert answer["translatedText"][1] == "I am tired this evening."  # which is in its target language already
    assert [request.source_language for request in stand.translator.seen] == ["fr", "ko"]


async def test_alternatives_are_the_others_of_a_beam_search(stand: Stand, client: httpx.AsyncClient) -> None:
    assert await post(client, q="a", alternatives=2) == {"translatedText": "A", "alternatives": ["A!", "A!!"]}
    assert await post(client, q=["a", ""], alternatives=1) == {
        "translatedText": ["A", ""],
        "alternatives": [["A!"], []],
    }
    assert await post(client, q="a", alternatives=0) == {"translatedText": "A"}
    assert stand.translator.seen[0].decoding.num_beams == 3


async def test_markup_stays(stand: Stand, client: httpx.AsyncClient) -> None:
    assert await post(client, q="<b>a</b>", format="html") == {"translatedText": "<b>A</b>"}
    assert stand.translator.seen[0].format == "html"


@pytest.mark.parametrize("kind", ["data", "files"])
async def test_forms_say_the_same(stand: Stand, client: httpx.AsyncClient, kind: str) -> None:
    said = {"q": "a\r\nb & é", "source": "fr", "target": "en", "alternatives": "1", "api_key": "", "format": "html"}
    form = said if kind == "data" else {name: (None, value) for name, value in said.items()}
    response = await client.post(TRANSLATE, **{kind: form})
    assert response.json() == {"translatedText": "A\nB & É", "alternatives": ["A\nB & É!"]}
    several = [("q", "a"), ("q", "b"), ("source", "fr"), ("target", "en")]
    if kind == "data":
        body, headers = "&".join("=".join(each) for each in several), {"content-type": f"{URLENCODED}; charset=utf-8"}
        response = await client.post(TRANSLATE, content=body, headers=headers)
    else:
        response = await client.post(TRANSLATE, files=[(name, (None, value)) for name, value in several])
    assert response.json() == {"translatedText": ["A", "B"]}


URLENCODED = "application/x-www-form-urlencoded"
BOUND = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("kind", "body", "status", "said"),
    [
        (URLENCODED, "source=fr&target=en", 422, "q is missing"),
        (URLENCODED, "q=&source=fr&target=en", 422, "q is missing"),
        (URLENCODED, "q=a&source=fr&target=en&alternatives=x", 422, 'alternatives is "x": '),
        (URLENCODED, "q=a&source=fr&source=en&target=en", 422, 'source is ["fr", "en"]: '),
        (URLENCODED, "q=a&source=fr&target=en&colour=red", 422, "colour is unknown; known are q, source, target"),
        (URLENCODED, b"q=\xff&source=fr&target=en", 400, f"the body is not {URLENCODED} in UTF-8: "),
        (URLENCODED, "q=%ED%A0%80&source=fr&target=en", 400, f"the body is not {URLENCODED} in UTF-8: "),
        (URLENCODED, "q=a&" * 2000, 400, f"the body is not {URLENCODED} in UTF-8: Max number of fields"),
        (BOUND, "--b--", 422, "q is missing"),
        (BOUND, "no parts", 400, "the body is not multipart/form-data: "),
        (BOUND, '--b\r\ncontent-disposition: form-data; name="q"; filename="a"\r\n\r\na\r\n--b--\r\n', 422, '"q" is a'),
        ("text/plain", "q=a", 415, 'content-type is "text/plain", expected one of application/json, '),
        ("application/json", "[]", 400, "the body is [], expected an object with q, source and target"),
        ("application/json", '{"q": 5, "source": "fr", "target": "en"}', 422, "q[0] is 5: expected a text, or a list"),
        ("application/json", '{"q": [], "source": "fr", "target": "en"}', 422, "q is an empty list"),
        ("application/json", '{"q": "a", "source": "fr", "target": "de"}', 404, "no translation for fr-de; available"),
        ("application/json", '{"q": "a", "source": "fr", "target": "en", "format": "md"}', 422, 'format is "md": '),
        ("application/json", '{"q": "a", "source": "fr", "target": "en", "alternatives": 4}', 422, "alternatives is 4"),
    ],
)
async def test_what_is_wrong_is_one_sentence(
    client: httpx.AsyncClient, kind: str, body: Any, status: int, said: str
) -> None:
    response = await client.post(TRANSLATE, content=body, headers={"content-type": kind})
    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert response.json()["error"].startswith(said)


async def test_no_more_texts_and_characters_than_the_limits() -> None:
    async with Stand({"max_inputs": 2, "max_characters": 5}).client() as client:
        response = await client.post(TRANSLATE, json={"q": ["a", "b", "c"], "source": "fr", "target": "en"})
        assert response.json() == {"error": "q has 3 texts, the limit is 2"}
        response = await client.post(TRANSLATE, json={"q": ["abc", "def"], "source": "fr", "target": "en"})
        assert response.json() == {"error": "the request has texts of 6 characters, the limit is 5"}
        response = await client.post("/libretranslate/detect", json={"q": "abcdef"})
        assert response.json() == {"error": "the request has texts of 6 characters, the limit is 5"}


@pytest.mark.parametrize("path", ["suggest", "translate_file"])
async def test_what_is_not_done_says_so(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(f"/libretranslate/{path}", data={"q": "a"})
    assert response.status_code == 422
    assert "are not " in response.json()["error"]


@pytest.mark.parametrize("place", ["header", "query", "body"])
async def test_a_key_may_stand_in_three_places(tmp_path: Path, place: str) -> None:
    key = new_key()
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: shop, sha256: {hash_of(key)}}}]")
    async with Stand({"keys": tmp_path / "keys.yaml"}, state=tmp_path / "state").client() as client:
        body = {"q": "a", "source": "fr", "target": "en", **({"api_key": key} if place == "body" else {})}
        headers = {"authorization": f"Bearer {key}"} if place == "header" else {}
        query = {"api_key": key} if place == "query" else {}
        assert (await client.post(TRANSLATE, json=body, headers=headers, params=query)).status_code == 200
        assert (await client.get("/libretranslate/frontend/settings")).json()["keyRequired"] is True


async def test_pages_get_what_they_ask(stand: Stand) -> None:
    async with stand.client() as client:
        settings = (await client.get("/libretranslate/frontend/settings")).json()
        assert settings["charLimit"] == 100_000
        assert settings["language"]["target"] == {"code": "en", "name": "English"}
        assert (await client.get("/libretranslate/health")).json() == {"status": "ok"}


async def test_while_no_translator_answers_everything_says_when_to_come_back(stand: Stand) -> None:
    stand.translator.ready = False
    async with stand.client() as client:
        for method, path in [("GET", "languages"), ("GET", "health"), ("POST", "translate"), ("POST", "detect")]:
            said = {"json": {"q": "a", "source": "fr", "target": "en"}} if path == "translate" else {"json": {"q": "a"}}
            response = await client.request(method, f"/libretranslate/{path}", **(said if method == "POST" else {}))
            assert response.status_code == 503, path
            assert response.headers["retry-after"]
            assert response.json() == {"error": "model 'translator' is not ready: still loading"}


async def test_a_full_translator_refuses_before_the_body_is_read() -> None:
    stand = Stand(served={"slots": 1, "max_waiting": 1})
    stand.translator.holding = {"a"}
    async with stand.client() as client:
        holding = asyncio.create_task(client.post(TRANSLATE, json={"q": ["a", "a"], "source": "fr", "target": "en"}))
        await eventually(lambda: len(stand.translator.seen) == 2)
        response = await client.post(TRANSLATE, content=b"not even JSON")
        assert response.status_code == 503
        assert list(response.json()) == ["error"]
        stand.translator.release()
        assert (await holding).status_code == 200
    assert stand.sample("triptych_http_requests_total", route=TRANSLATE, status="503") == 1


async def test_every_example_of_the_documentation_works(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path in (TRANSLATE, "/libretranslate/detect"):
        examples = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert examples
        for example in examples.values():
            assert (await client.post(path, json=example["value"])).status_code == 200


async def test_unknown_paths_are_told_in_its_shape(stand: Stand) -> None:
    transport = httpx.ASGITransport(app=stand.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.get("/libretranslate/nowhere")).json() == {
            "error": "there is nothing at /libretranslate/nowhere; /docs lists what there is"
        }
