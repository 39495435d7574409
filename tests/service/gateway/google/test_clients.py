"""Google's own client, over a real server."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth import api_key
from google.auth.credentials import AnonymousCredentials
from google.cloud import translate_v2
from google.oauth2.credentials import Credentials

from service.errors import Overloaded
from service.gateway.keys import hash_of, new_key
from tests.service.gateway.conftest import Stand


def client_of(url: str, credentials: Any = None) -> translate_v2.Client:
    credentials = credentials or AnonymousCredentials()
    return translate_v2.Client(client_options={"api_endpoint": url}, credentials=credentials)


@pytest.fixture
def client(server: str) -> translate_v2.Client:
    return client_of(server)


def test_a_text_has_its_language_found_out(stand: Stand, client: translate_v2.Client) -> None:
    assert client.translate("Je suis fatigué ce soir.", target_language="en") == {
        "input": "Je suis fatigué ce soir.",
        "translatedText": "JE SUIS FATIGUÉ CE SOIR.",
        "detectedSourceLanguage": "fr",
    }
    (request,) = stand.translator.seen
    assert (request.source_language, request.target_language) == ("fr", "en")


def test_a_language_that_is_said_is_not_told_again(client: translate_v2.Client) -> None:
    result = client.translate("a", source_language="fr", target_language="en", model="nmt", customization_ids=[])
    assert result == {"input": "a", "translatedText": "A"}


def test_several_texts_come_in_their_order(client: translate_v2.Client) -> None:
    results = client.translate(["a b", "", "c"], source_language="fr", target_language="en")
    assert [result["translatedText"] for result in results] == ["A B", "", "C"]


def test_a_text_is_html_unless_it_is_said_to_be_none(stand: Stand, client: translate_v2.Client) -> None:
    for said in (None, "html", "text"):
        client.translate("<b>a</b>", source_language="fr", target_language="en", format_=said)
    assert [request.format for request in stand.translator.seen] == ["html", "html", "text"]


def test_it_detects_languages(client: translate_v2.Client) -> None:
    found = client.detect_language(["Je suis fatigué ce soir.", "저는 피곤합니다."])
    assert [(each["language"], each["input"]) for each in found] == [
        ("fr", "Je suis fatigué ce soir."),
        ("ko", "저는 피곤합니다."),
    ]
    assert 0.9 < found[0]["confidence"] <= 1
    assert client.detect_language("Je suis fatigué ce soir.")["language"] == "fr"


def test_languages_are_listed_with_their_names(client: translate_v2.Client) -> None:
    names = {"fr": "French", "en": "English", "ko": "Korean"}
    assert client.get_languages() == [{"language": code, "name": name} for code, name in names.items()]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"target_language": "de"}, "no translation for fr-de; available: fr-en, en-fr, ko-en"),
        ({"source_language": "de"}, "no translation for de-en; available: fr-en, en-fr, ko-en"),
        ({"model": "general/translation-llm"}, 'model is "general/translation-llm": this parameter is not supported'),
        ({"customization_ids": "mine"}, r'cid is \["mine"\]: this parameter is not supported'),
        ({"format_": "md"}, 'format is "md": expected "text" or "html"'),
    ],
)
def test_what_is_not_done_is_refused_with_a_reason(client: translate_v2.Client, said: dict, message: str) -> None:
    with pytest.raises(exceptions.BadRequest, match=message):
        client.translate("a", **{"source_language": "fr", "target_language": "en", **said})


def test_it_hears_what_is_too_long_or_too_many() -> None:
    with Stand({"max_inputs": 2, "max_characters": 5}).server() as url:
        client = client_of(url)
        with pytest.raises(
            exceptions.BadRequest, match="the request has texts of 6 characters, the limit is 5"
        ) as long:
            client.translate("abcdef", source_language="fr", target_language="en")
        assert long.value.errors[0]["reason"] == "input_too_long"
        for ask in (client.detect_language, client.translate):
            with pytest.raises(exceptions.BadRequest, match="q has 3 texts, the limit is 2"):
                ask(["a", "b", "c"])


def test_its_key_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: shop, sha256: {hash_of(key)}}}]")
    with Stand({"keys": tmp_path / "keys.yaml"}, state=tmp_path / "state").server() as url:
        for known in (api_key.Credentials(key), Credentials(token=key)):
            client = client_of(url, known)
            assert client.translate("a", source_language="fr", target_language="en")["translatedText"] == "A"
            assert client.detect_language("Je suis fatigué.")
            assert client.get_languages()
        for unknown, said in ((api_key.Credentials("wrong"), "the key is none of those"), (None, "this needs a key")):
            client = client_of(url, unknown)
            for ask in (client.get_languages, partial(client.translate, "a"), partial(client.detect_language, "a")):
                with pytest.raises(exceptions.Forbidden, match=said):
                    ask()


def test_a_full_service_is_said_to_be_unavailable(stand: Stand, client: translate_v2.Client) -> None:
    stand.translator.refusing = {"a": Overloaded("full")}
    with pytest.raises(exceptions.ServiceUnavailable, match="full") as refused:
        client.translate("a", source_language="fr", target_language="en")
    assert refused.value.response.headers["retry-after"]
    assert refused.value.response.json()["error"]["status"] == "UNAVAILABLE"
