"""The languages of texts: told by /detect, and found out by /translate where src_lang is auto."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.gateway.huggingface.completions import DetectedLanguage
from tests.service.gateway.conftest import Stand

FRENCH, ENGLISH, KOREAN = "Je suis fatigué.", "I am tired.", "저는 피곤합니다."


async def ask(client: httpx.AsyncClient, inputs: Any, status: int = 200, **parameters: Any) -> Any:
    response = await client.post("/translate", json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == status, response.text
    return response.json()


def error_of(response: httpx.Response, status: int = 422) -> dict[str, Any]:
    assert response.status_code == status, response.text
    return response.json()["error"]


async def test_each_text_gets_the_scores_of_the_served_languages(client: httpx.AsyncClient) -> None:
    response = await client.post("/detect", json={"inputs": [FRENCH, KOREAN]})
    french, korean = response.json()
    assert [each["label"] for each in french] == ["fr", "en", "ko"]
    assert french[0]["score"] > 0.99
    assert korean[0] == {"label": "ko", "score": 1.0}
    assert response.headers["x-request-id"]
    assert "x-model-version" not in response.headers, "no model was asked"
    [best] = (await client.post("/detect", json={"inputs": ENGLISH, "parameters": {"top_k": 1}})).json()
    assert [each["label"] for each in best] == ["en"]


async def test_the_languages_are_those_of_all_translators_or_of_the_one_that_is_named(stand: Stand) -> None:
    stand.translator.info = replace(stand.translator.info, language_pairs=(("de", "en"), ("sv", "en")))
    async with stand.client() as client:
        [ranking] = (await client.post("/detect", json={"inputs": ENGLISH, "model": "translator"})).json()
        assert {each["label"] for each in ranking} == {"de", "sv"}, "sources alone"
        error = error_of(await client.post("/detect", json={"inputs": "a", "model": "generator"}), 404)
    assert error["message"] == "no model 'generator' serves translate (it serves generate); available: translator"


async def test_no_translator_that_says_its_languages_is_not_ready(stand: Stand) -> None:
    stand.translator.ready = False
    async with stand.client() as client:
        assert error_of(await client.post("/detect", json={"inputs": "a"}), 503)["code"] == "not_ready"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": []}, "inputs is an empty list"),
        ({"inputs": ["a", " "]}, r'inputs[1] is " ": there is nothing to work on'),
        ({"inputs": ["a"] * 257}, "inputs has 257 texts, the limit is 256"),
        ({"inputs": "a" * 100_001}, "the request has texts of 100001 characters, the limit is 100000"),
        ({"inputs": 5}, "inputs[0] is 5: expected a text, or a list of texts"),
        ({"inputs": "a", "stream": True}, "stream is true: a detection is one event, it cannot be streamed"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, "parameters.top_k is 0"),
        ({"inputs": "a", "parameters": {"function_to_apply": "none"}}, "this parameter is not supported"),
        ({"inputs": "a", "parameters": {"src_lang": "fr"}}, "parameters.src_lang is unknown; known are top_k"),
    ],
)
async def test_a_wrong_detection_is_refused_in_words(client: httpx.AsyncClient, body: Any, words: str) -> None:
    assert words in error_of(await client.post("/detect", json=body))["message"]


async def test_a_detection_is_counted_and_has_its_room_in_the_gateway(stand: Stand) -> None:
    async with stand.client() as client:
        assert (await client.post("/detect", json={"inputs": "a"})).status_code == 200
        assert stand.sample("triptych_http_requests_total", route="/detect", status="200") == 1
        with stand.app.state.admission.admit(None, 2048):
            error = error_of(await client.post("/detect", json={"inputs": "a"}), 503)
            auto = {"inputs": "a", "parameters": {"src_lang": "auto", "tgt_lang": "en"}}
            assert error_of(await client.post("/translate", json=auto), 503)["code"] == "overloaded"
    assert (error["code"], error["limit"]) == ("overloaded", 2048)
    assert "the gateway is answering 2048 texts" in error["message"]
    assert stand.sample("triptych_admission_refusals_total", reason="gateway") >= 1


async def test_a_detection_that_comes_too_late_says_so(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr("service.gateway.detection.Detection._rank_all", lambda *_: held.wait(10))
    async with stand.client() as client:
        late = {"x-request-timeout-ms": "50"}
        error = error_of(await client.post("/detect", json={"inputs": "a"}, headers=late), 504)
        held.set()
    assert error["message"] == "no answer within 50 ms"


async def test_each_text_of_a_list_gets_its_own_source(stand: Stand, client: httpx.AsyncClient) -> None:
    answers = await ask(client, [FRENCH, KOREAN], src_lang="auto", tgt_lang="en")
    assert [(each.source_language, each.target_language) for each in stand.translator.seen] == [
        ("fr", "en"),
        ("ko", "en"),
    ]
    assert [each["detected_language"]["language"] for each in answers] == ["fr", "ko"]
    assert answers[1] == {
        "translation_text": KOREAN.upper(),
        "detected_language": {"language": "ko", "score": 1.0},
    }
    assert DetectedLanguage.model_fields.keys() == answers[0]["detected_language"].keys()


async def test_what_is_detected_is_told_where_it_was_asked_for_alone(client: httpx.AsyncClient) -> None:
    assert await ask(client, FRENCH, src_lang="fr") == [{"translation_text": FRENCH.upper()}]


async def test_the_target_may_be_left_out_where_one_remains(stand: Stand, client: httpx.AsyncClient) -> None:
    await ask(client, [FRENCH, ENGLISH], src_lang="auto")
    assert [each.target_language for each in stand.translator.seen] == ["en", "fr"]
    info = stand.translator.info
    stand.translator.info = replace(info, version="t@2", language_pairs=(*info.language_pairs, ("en", "ko")))
    await ask(client, "a", src_lang="fr")  # tells the gateway of the new version
    error = (await ask(client, ENGLISH, 422, src_lang="auto"))["error"]
    assert error["possible"] == ["en-fr", "en-ko"]


async def test_a_text_in_its_target_language_comes_back_as_it_is(stand: Stand, client: httpx.AsyncClient) -> None:
    [answer] = await ask(client, ENGLISH, src_lang="auto", tgt_lang="en")
    request = stand.translator.seen[0]
    assert (request.source_language, request.target_language) == ("en", "en"), "which a worker leaves alone"
    assert answer["detected_language"]["language"] == "en"


async def test_generate_parameters_may_ask_for_it_and_in_any_case(stand: Stand, client: httpx.AsyncClient) -> None:
    asked = {"generate_parameters": {"src_lang": "AUTO", "tgt_lang": "English", "max_new_tokens": 5}}
    [answer] = await ask(client, KOREAN, **asked)
    assert answer["detected_language"]["language"] == "ko"
    assert stand.translator.seen[0].decoding.max_new_tokens == 5


async def test_an_unknown_target_lists_what_there_is(client: httpx.AsyncClient) -> None:
    error = (await ask(client, FRENCH, 404, src_lang="auto", tgt_lang="de"))["error"]
    assert error["message"] == "no translation for auto-de; available: fr-en, en-fr, ko-en"
    error = (await ask(client, FRENCH, 404, src_lang="fr", tgt_lang="auto"))["error"]
    assert error["code"] == "unknown_language_pair"


async def test_a_streams_last_event_tells_what_was_detected(client: httpx.AsyncClient) -> None:
    body = {"inputs": FRENCH, "parameters": {"src_lang": "auto", "tgt_lang": "en"}, "stream": True}
    text = (await client.post("/translate", json=body)).text
    *others, last = [json.loads(line.removeprefix("data:")) for line in text.splitlines() if line]
    assert last["detected_language"]["language"] == "fr"
    assert others
    assert not any("detected_language" in event for event in others)


async def test_codes_of_every_convention_are_understood(stand: Stand, client: httpx.AsyncClient) -> None:
    for source, target in [("fra", "eng"), ("fra_Latn", "eng_Latn"), ("fr_XX", "en_XX"), ("French", "english")]:
        await ask(client, "a", src_lang=source, tgt_lang=target)
    assert {(each.source_language, each.target_language) for each in stand.translator.seen} == {("fr", "en")}
    error = (await ask(client, "a", 404, src_lang="Klingon", tgt_lang="en"))["error"]
    assert error["message"] == "no translation for Klingon-en; available: fr-en, en-fr, ko-en"


async def test_a_service_that_stops_detects_nothing_more(stand: Stand) -> None:
    async with stand.client() as client:
        await stand.app.state.admission.drain(0)
        assert error_of(await client.post("/detect", json={"inputs": "a"}), 503)["code"] == "not_ready"
