"""Azure's own client of version 3.0, over a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from azure.ai.translation.text import TextTranslationClient
from azure.ai.translation.text.models import DictionaryExampleTextItem, InputTextItem
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from service.errors import Overloaded
from service.gateway.keys import hash_of, new_key
from tests.service.gateway.conftest import Stand


def client_of(url: str, key: str = "any", **settings: Any) -> TextTranslationClient:
    return TextTranslationClient(endpoint=f"{url}/azure", credential=AzureKeyCredential(key), **settings)


@pytest.fixture
def client(server: str) -> TextTranslationClient:
    return client_of(server)


def test_a_text_has_its_language_found_out(stand: Stand, client: TextTranslationClient) -> None:
    [result] = client.translate(body=["Je suis fatigué ce soir."], to_language=["en"])
    assert result.detected_language.language == "fr"
    assert 0.9 < result.detected_language.score <= 1
    assert [(each.to, each.text) for each in result.translations] == [("en", "JE SUIS FATIGUÉ CE SOIR.")]
    (request,) = stand.translator.seen
    assert (request.source_language, request.target_language) == ("fr", "en")


def test_a_language_that_is_said_is_not_told_again(client: TextTranslationClient) -> None:
    [result] = client.translate(body=[InputTextItem(text="a")], from_language="fr", to_language=["en"])
    assert result.as_dict() == {"translations": [{"to": "en", "text": "A"}]}


def test_several_texts_come_in_their_order(client: TextTranslationClient) -> None:
    results = client.translate(body=["a b", "", "c"], from_language="fr", to_language=["en"])
    assert [result.translations[0].text for result in results] == ["A B", "", "C"]


def test_a_text_comes_in_each_language_that_it_is_wanted_in(stand: Stand, client: TextTranslationClient) -> None:
    french, english = "Je suis fatigué ce soir.", "I am very tired this evening."
    results = client.translate(body=[french, english], to_language=["en", "fr"])
    assert [[(each.to, each.text) for each in result.translations] for result in results] == [
        [("en", french.upper()), ("fr", french)],
        [("en", english), ("fr", english.upper())],
    ]
    assert [result.detected_language.language for result in results] == ["fr", "en"]
    assert len(stand.translator.seen) == 2


def test_markup_stays(stand: Stand, client: TextTranslationClient) -> None:
    for said in ("Html", "html"):
        [result] = client.translate(body=["<b>a</b>"], from_language="fr", to_language=["en"], text_type=said)
        assert result.translations[0].text == "<b>A</b>"
    client.translate(body=["<b>a</b>"], from_language="fr", to_language=["en"], text_type="Plain")
    assert [request.format for request in stand.translator.seen] == ["html", "html", "text"]


def test_what_changes_nothing_is_taken(client: TextTranslationClient) -> None:
    said = {"category": "general", "profanity_action": "NoAction", "include_alignment": False}
    said |= {"include_sentence_length": False, "allow_fallback": True}
    [result] = client.translate(body=["a"], from_language="fr", to_language=["en"], **said)
    assert result.translations[0].text == "A"


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ({"to_language": ["de"]}, 400023, "no translation for fr-de; available: fr-en, en-fr, ko-en"),
        ({"to_language": ["en", "de"]}, 400023, "no translation for fr-de; available: fr-en, en-fr, ko-en"),
        ({"from_language": "de"}, 400023, "no translation for de-en; available: fr-en, en-fr, ko-en"),
        ({"text_type": "Markdown"}, 400000, 'textType is "Markdown": expected "plain", "html"'),
        ({"category": "mine"}, 400000, 'category is "mine": this parameter is not supported'),
        ({"profanity_action": "Deleted"}, 400000, 'profanityAction is "Deleted": this parameter is not supported'),
        ({"include_alignment": True}, 400000, 'includeAlignment is "true": this parameter is not supported'),
        ({"suggested_from": "fr"}, 400000, 'suggestedFrom is "fr": this parameter is not supported'),
        ({"to_script": "Latn"}, 400000, 'toScript is "Latn": this parameter is not supported'),
        ({"profanity_marker": "Tag"}, 400000, "profanityMarker is unknown; known are api-version, to, from, textType"),
    ],
)
def test_what_is_not_done_is_refused_with_a_reason(
    client: TextTranslationClient, said: dict, code: int, message: str
) -> None:
    with pytest.raises(HttpResponseError, match=message) as refused:
        client.translate(body=["a"], **{"from_language": "fr", "to_language": ["en"], **said})
    assert (refused.value.status_code, refused.value.error.code) == (400, code)


def test_other_services_of_its_are_refused_with_a_reason(client: TextTranslationClient) -> None:
    pair = {"from_language": "fr", "to_language": "en"}
    example = DictionaryExampleTextItem(text="chat", translation="cat")
    for message, ask in (
        ("where sentences end is not told", lambda: client.find_sentence_boundaries(body=["a"])),
        (
            "not written in other scripts",
            lambda: client.transliterate(["a"], language="ko", from_script="a", to_script="b"),
        ),
        ("there is no dictionary", lambda: client.lookup_dictionary_entries(body=["chat"], **pair)),
        ("there is no dictionary", lambda: client.lookup_dictionary_examples(body=[example], **pair)),
    ):
        with pytest.raises(HttpResponseError, match=message) as refused:
            ask()
        assert refused.value.error.code == 400000


def test_languages_are_listed(client: TextTranslationClient) -> None:
    listed = client.get_supported_languages()
    names = {code: (each.name, each.native_name, each.dir) for code, each in listed.translation.items()}
    assert names == {
        "fr": ("French", "French", "ltr"),
        "en": ("English", "English", "ltr"),
        "ko": ("Korean", "Korean", "ltr"),
    }
    assert (listed.transliteration, listed.dictionary) == ({}, {})
    one = client.get_supported_languages(scope="translation", accept_language="fr")
    assert (list(one.translation), one.dictionary) == (["fr", "en", "ko"], None)
    with pytest.raises(HttpResponseError, match='scope is "speech": expected '):
        client.get_supported_languages(scope="speech")


def test_it_hears_what_is_too_long_or_too_many() -> None:
    with Stand({"max_inputs": 2, "max_characters": 5}).server() as url:
        client = client_of(url)
        with pytest.raises(HttpResponseError, match="texts of 6 characters, the limit is 5") as refused:
            client.translate(body=["abcdef"], to_language=["en"])
        assert refused.value.error.code == 400050
        with pytest.raises(HttpResponseError, match="texts of 6 characters, the limit is 5"):
            client.translate(body=["abc"], to_language=["en", "fr"])
        with pytest.raises(HttpResponseError, match="body has 3 texts, the limit is 2"):
            client.translate(body=["a", "b", "c"], to_language=["en"])
        with pytest.raises(HttpResponseError, match="body, each into 3 languages, has 3 texts, the limit is 2"):
            client.translate(body=["a"], to_language=["en"] * 3)


def test_its_key_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: shop, sha256: {hash_of(key)}}}]")
    with Stand({"keys": tmp_path / "keys.yaml"}, state=tmp_path / "state").server() as url:
        known, unknown = client_of(url, key, region="westeurope"), client_of(url, "wrong")
        assert known.translate(body=["a"], from_language="fr", to_language=["en"])[0].translations[0].text == "A"
        assert known.get_supported_languages().translation
        for ask in (unknown.get_supported_languages, lambda: unknown.translate(body=["a"], to_language=["en"])):
            with pytest.raises(
                ClientAuthenticationError, match="the key is none of those that may ask here"
            ) as refused:
                ask()
            assert refused.value.error.code == 401000
        with pytest.raises(ClientAuthenticationError, match="this needs a key"):
            TextTranslationClient(endpoint=f"{url}/azure").get_supported_languages()


def test_a_full_service_is_said_to_be_worth_another_try(stand: Stand, server: str) -> None:
    stand.translator.refusing = {"a": Overloaded("full")}
    with pytest.raises(HttpResponseError, match="full") as refused:
        client_of(server, retry_total=0).translate(body=["a"], from_language="fr", to_language=["en"])
    assert (refused.value.status_code, refused.value.error.code) == (503, 503000)
    assert refused.value.response.headers["retry-after"]


def test_it_tries_again_where_there_was_no_room(stand: Stand, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: stand.translator.refusing.clear())
    stand.translator.refusing = {"a": Overloaded("full")}
    [result] = client_of(server).translate(body=["a"], from_language="fr", to_language=["en"])
    assert result.translations[0].text == "A"
