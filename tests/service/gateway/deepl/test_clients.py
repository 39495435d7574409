"""DeepL's own client, over a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import deepl
import pytest

from service.errors import Overloaded
from service.gateway.keys import hash_of, new_key
from service.messages import Decoding, Elements
from tests.service.gateway.conftest import Stand


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    (tmp_path / "terms.tsv").write_text("voiture\tautomobile\nchat\tmatou\n")
    (tmp_path / "more.tsv").write_text("voiture\tcar\nchien\tdog\n")
    return Stand({"glossaries": {"terms": tmp_path / "terms.tsv", "more": tmp_path / "more.tsv"}})


@pytest.fixture
def client(server: str) -> Iterator[deepl.Translator]:
    client = deepl.Translator("key", server_url=f"{server}/deepl")
    yield client
    client.close()


@pytest.mark.parametrize("path", ["", "/", "/deepl", "/deepl/"])
def test_it_finds_the_service_however_its_address_ends(server: str, path: str) -> None:
    result = deepl.Translator("key", server_url=f"{server}{path}").translate_text("a", target_lang="EN-US")
    assert isinstance(result, deepl.TextResult)
    assert result.text == "A"


def test_its_newer_client_translates_too(server: str) -> None:
    client = deepl.DeepLClient("key", server_url=f"{server}/deepl")
    assert client.translate_text("a", source_lang="FR", target_lang="EN-GB").text == "A"


def test_a_text_has_its_language_found_out(stand: Stand, client: deepl.Translator) -> None:
    result = client.translate_text("Je suis fatigué ce soir.", target_lang="EN-US")
    assert (result.text, result.detected_source_lang) == ("JE SUIS FATIGUÉ CE SOIR.", "FR")
    assert (result.billed_characters, result.model_type_used) == (24, None)
    (request,) = stand.translator.seen
    assert (request.source_language, request.target_language) == ("fr", "en")


def test_several_texts_come_in_their_order(client: deepl.Translator) -> None:
    results = client.translate_text(["a b", "", "c"], source_lang="fr", target_lang="en-gb")
    assert [result.text for result in results] == ["A B", "", "C"]
    assert [result.detected_source_lang for result in results] == ["FR"] * 3
    assert [result.billed_characters for result in results] == [3, 0, 1]


@pytest.mark.parametrize(
    ("said", "split", "text"),
    [
        (None, "sentences", "a.\nb"),
        (deepl.SplitSentences.ALL, "sentences", "a.\nb"),
        (deepl.SplitSentences.OFF, "none", "a.\nb"),
        (deepl.SplitSentences.NO_NEWLINES, "sentences", "a. b"),
    ],
)
def test_sentences_end_where_it_says(
    stand: Stand, client: deepl.Translator, said: deepl.SplitSentences | None, split: str, text: str
) -> None:
    client.translate_text("a.\nb", source_lang="FR", target_lang="EN-US", split_sentences=said)
    assert (stand.translator.seen[0].split, stand.translator.seen[0].text) == (split, text)


def test_markup_stays_and_its_elements_are_what_it_says(stand: Stand, client: deepl.Translator) -> None:
    result = client.translate_text(
        "<p>a\n<x:Keep>b</x:Keep></p>",
        source_lang="FR",
        target_lang="EN-US",
        tag_handling="xml",
        split_sentences="nonewlines",
        ignore_tags="x:Keep,code",
        splitting_tags=["par"],
        non_splitting_tags=["i", "b"],
        outline_detection=True,
        tag_handling_version="v2",
        preserve_formatting=True,
    )
    assert result.text == "<p>A\n<x:Keep>B</x:Keep></p>"
    request = stand.translator.seen[0]
    assert (request.format, request.split, request.text) == ("xml", "sentences", "<p>a\n<x:Keep>b</x:Keep></p>")
    assert request.elements == Elements(kept=("keep", "code"), blocks=("par",), inlines=("i", "b"))


def test_quality_is_a_beam_search(stand: Stand, client: deepl.Translator) -> None:
    for said, used in [
        (deepl.ModelType.QUALITY_OPTIMIZED, "quality_optimized"),
        (deepl.ModelType.PREFER_QUALITY_OPTIMIZED, "quality_optimized"),
        (deepl.ModelType.LATENCY_OPTIMIZED, "latency_optimized"),
    ]:
        result = client.translate_text("a", source_lang="FR", target_lang="EN-US", model_type=said)
        assert result.model_type_used == used
    assert [request.decoding for request in stand.translator.seen] == [*[Decoding(num_beams=4)] * 2, Decoding()]


def test_glossaries_are_found_by_id_and_by_name(stand: Stand, client: deepl.Translator) -> None:
    listed = client.list_glossaries()
    assert len({glossary.glossary_id for glossary in listed}) == len(listed) == 6
    terms = next(each for each in listed if (each.name, each.source_lang) == ("terms", "FR"))
    assert (terms.target_lang, terms.ready, terms.entry_count) == ("EN", True, 2)
    assert client.get_glossary(terms.glossary_id).name == "terms"
    for said in (terms, terms.glossary_id, "terms"):
        assert client.get_glossary_entries(said) == {"voiture": "automobile", "chat": "matou"}
        client.translate_text("Une voiture.", source_lang="FR", target_lang="EN-US", glossary=said)
        assert stand.translator.seen[-1].glossary == (("voiture", "automobile"),)
    client.translate_text_with_glossary("Un chat.", terms)
    assert stand.translator.seen[-1].glossary == (("chat", "matou"),)
    client.translate_text("voiture chien", source_lang="FR", target_lang="EN-US", glossary_ids=["more", "terms"])
    assert dict(stand.translator.seen[-1].glossary) == {"voiture": "car", "chien": "dog"}


def test_a_glossary_that_is_not_there_or_of_other_languages_is_refused(client: deepl.Translator) -> None:
    with pytest.raises(deepl.GlossaryNotFoundException, match="there is no glossary 'none'; by name there are: terms"):
        client.get_glossary("none")
    with pytest.raises(deepl.DeepLException, match='glossary_id is "none"; available: more, terms'):
        client.translate_text("a", source_lang="FR", target_lang="EN-US", glossary="none")
    korean = next(each for each in client.list_glossaries() if each.source_lang == "KO")
    with pytest.raises(deepl.DeepLException, match="which is of KO-EN, with the languages FR-EN"):
        client.translate_text("a", source_lang="FR", target_lang="EN-US", glossary=korean.glossary_id)


def test_glossaries_are_the_operators(client: deepl.Translator) -> None:
    with pytest.raises(deepl.DeepLException, match=r"glossaries are files of whoever runs the service"):
        client.create_glossary("mine", "FR", "EN", {"a": "b"})
    with pytest.raises(deepl.DeepLException, match=r"gateway.glossaries"):
        client.delete_glossary("terms")


def test_languages_are_listed(client: deepl.Translator) -> None:
    said = [(language.code, language.name) for language in client.get_source_languages()]
    assert said == [("FR", "French"), ("EN", "English"), ("KO", "Korean")]
    targets = client.get_target_languages()
    assert [language.code for language in targets] == ["EN-GB", "EN-US", "FR"]
    assert targets[0].name == "English (British)"
    assert targets[0].supports_formality is False
    pairs = [(pair.source_lang, pair.target_lang) for pair in client.get_glossary_languages()]
    assert pairs == [("fr", "en"), ("en", "fr"), ("ko", "en")]


def test_nothing_is_billed(client: deepl.Translator) -> None:
    usage = client.get_usage()
    assert (usage.character.count, usage.any_limit_reached) == (0, False)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"formality": "more"}, 'formality is "more": expected default, prefer_more or prefer_less'),
        ({"context": "It is about cats."}, "context is .*: this parameter is not supported: leave it out"),
        ({"outline_detection": False}, "outline_detection is false: what ends a sentence is always found out"),
        ({"custom_instructions": ["be kind"]}, "custom_instructions is .*: this parameter is not supported"),
        ({"split_sentences": "2"}, 'split_sentences is "2": '),
        ({"tag_handling": "md"}, 'tag_handling is "md": '),
        (
            {"source_lang": "DE"},
            "no translation for DE-EN-US; available: fr-en, en-fr, ko-en, detail: unknown_language",
        ),
        ({"extra_body_parameters": {"colour": 1}}, "colour is unknown; known are text, target_lang"),
    ],
)
def test_what_is_not_done_is_refused_with_a_reason(client: deepl.Translator, said: dict, message: str) -> None:
    with pytest.raises(deepl.DeepLException, match=f"^Bad request, message: {message}"):
        client.translate_text("a", **{"source_lang": "FR", "target_lang": "EN-US", **said})


def test_what_can_be_ignored_is(client: deepl.Translator) -> None:
    for formality in ("default", "prefer_more", "prefer_less"):
        result = client.translate_text("a", source_lang="FR", target_lang="EN-US", formality=formality, context="")
        assert result.text == "A"


def test_documents_are_refused_with_where_to_go(client: deepl.Translator) -> None:
    with pytest.raises(deepl.DeepLException, match="POST /translate/file takes them"):
        client.translate_document_upload("text", filename="a.txt", target_lang="EN-US")


def test_its_key_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: shop, sha256: {hash_of(key)}}}]")
    with Stand({"keys": tmp_path / "keys.yaml"}, state=tmp_path / "state").server() as url:
        known, unknown = (deepl.Translator(given, server_url=f"{url}/deepl") for given in (key, "wrong"))
        assert known.translate_text("a", source_lang="FR", target_lang="EN-US").text == "A"
        for ask in (unknown.get_usage, lambda: unknown.translate_text("a", source_lang="FR", target_lang="EN-US")):
            with pytest.raises(deepl.AuthorizationException, match="the key is none of those that may ask here"):
                ask()


def test_a_full_service_is_said_to_be_worth_another_try(
    stand: Stand, client: deepl.Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepl.http_client, "max_network_retries", 0)
    stand.translator.refusing = {"a": Overloaded("full")}
    with pytest.raises(deepl.DeepLException, match="full, detail: overloaded, request ") as refused:
        client.translate_text("a", source_lang="FR", target_lang="EN-US")
    assert refused.value.should_retry
