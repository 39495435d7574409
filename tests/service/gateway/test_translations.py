"""Texts to translate, of protocols that name no model, over two translators."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.gateway.translations import examples_of
from tests.service.gateway import conftest
from tests.service.gateway.conftest import Stand
from tests.service.gateway.fakes import FakeWorker, model_info


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    """One that speaks French and Korean, and one that speaks German, and French as well."""
    monkeypatch.setitem(conftest.MODELS, "german", "translate")
    stand = Stand()
    worker = stand.workers["german"]
    worker.info = model_info("german", "translate", language_pairs=(("de", "en"), ("fr", "en")), slots=2)
    return stand


async def post(client: httpx.AsyncClient, **body: Any) -> Any:
    return await client.post("/libretranslate/translate", json={"target": "en", **body})


def texts(worker: FakeWorker) -> list[str]:
    return [request.text for request in worker.seen]


async def test_the_first_that_has_the_languages_is_asked(stand: Stand, client: httpx.AsyncClient) -> None:
    assert (await post(client, q="bonjour", source="fr")).headers["x-model-version"] == "translator@1"
    assert (await post(client, q="hallo", source="de")).headers["x-model-version"] == "german@1"
    assert (texts(stand.translator), texts(stand.workers["german"])) == (["bonjour"], ["hallo"])
    languages = (await client.get("/libretranslate/languages")).json()
    assert {language["code"]: language["targets"] for language in languages} == {
        "fr": ["en"],
        "en": ["fr"],
        "ko": ["en"],
        "de": ["en"],
    }


async def test_each_text_of_a_call_goes_to_whoever_has_its_language(stand: Stand, client: httpx.AsyncClient) -> None:
    german, korean, french = "Ich bin heute sehr müde.", "저는 피곤합니다.", "Je suis fatigué ce soir."
    response = await post(client, q=[german, korean, "", french], source="auto")
    assert response.json()["translatedText"] == [german.upper(), korean, "", french.upper()]
    assert [each["language"] for each in response.json()["detectedLanguage"]][:2] == ["de", "ko"]
    assert (texts(stand.translator), texts(stand.workers["german"])) == ([korean, french], [german])
    assert len({request.id for worker in stand.workers.values() for request in worker.seen}) == 3


async def test_limits_are_those_of_the_model_that_is_asked(stand: Stand, client: httpx.AsyncClient) -> None:
    assert (await post(client, q="a", source="fr", alternatives=2)).status_code == 200
    refused = await post(client, q="a", source="de", alternatives=2)
    assert refused.json() == {"error": "alternatives is 2, the limit of model 'german' is 1"}


async def test_one_that_is_gone_takes_its_languages_along(stand: Stand) -> None:
    stand.workers["german"].ready = False
    async with stand.client() as client:
        assert (await post(client, q="a", source="fr")).status_code == 200
        assert (await post(client, q="a", source="de")).json() == {
            "error": "no translation for de-en; available: fr-en, en-fr, ko-en"
        }


def test_examples_are_those_that_ask_for_a_translation_and_nothing_else() -> None:
    languages = {"src_lang": "French", "tgt_lang": "en"}
    examples = {
        "One": {"inputs": "a", "parameters": languages},
        "Two": {"inputs": ["a", "b"], "parameters": {"src_lang": "ko"}},
        "A stream": {"inputs": "a", "parameters": languages, "stream": True},
        "Beams": {"inputs": "a", "parameters": {**languages, "num_beams": 2}},
    }
    models = [model_info("one", "translate", examples=examples), model_info("other", "generate")]
    assert list(examples_of(models)) == [("One", ["a"], ("fr", "en")), ("Two", ["a", "b"], ("ko", "en"))]
