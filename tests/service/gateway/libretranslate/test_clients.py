"""LibreTranslate's own client, over a real server."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.error import HTTPError

import pytest
from libretranslatepy import LibreTranslateAPI

from service.gateway.keys import hash_of, new_key
from tests.service.gateway.conftest import Stand


@pytest.fixture
def client(server: str) -> LibreTranslateAPI:
    return LibreTranslateAPI(f"{server}/libretranslate")


def test_it_translates(stand: Stand, client: LibreTranslateAPI) -> None:
    assert client.translate("Je suis fatigué, & toi+moi ?", "fr", "en") == "JE SUIS FATIGUÉ, & TOI+MOI ?"
    (request,) = stand.translator.seen
    assert (request.source_language, request.target_language) == ("fr", "en")
    assert client.translate("저는 피곤합니다.", "auto", "en") == "저는 피곤합니다."
    assert stand.translator.seen[-1].source_language == "ko"


def test_it_detects_languages(client: LibreTranslateAPI) -> None:
    first, *_ = client.detect("Je suis fatigué ce soir.")
    assert first["language"] == "fr"
    assert 90 < first["confidence"] <= 100


def test_it_lists_languages(client: LibreTranslateAPI) -> None:
    assert client.languages() == [
        {"code": "fr", "name": "French", "targets": ["en"]},
        {"code": "en", "name": "English", "targets": ["fr"]},
        {"code": "ko", "name": "Korean", "targets": ["en"]},
    ]


def test_its_key_is_taken_where_none_is_needed(server: str) -> None:
    client = LibreTranslateAPI(f"{server}/libretranslate/", api_key="1234")
    assert client.translate("a", "fr", "en") == "A"
    assert client.detect("Je suis fatigué.")
    assert client.languages()


def test_its_key_is_asked_for_where_one_is_needed_but_for_languages(tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "keys.yaml").write_text(f"keys: [{{name: shop, sha256: {hash_of(key)}, requests: 2/hour}}]")
    stand = Stand({"keys": tmp_path / "keys.yaml"}, state=tmp_path / "state")
    with stand.server() as url:
        clients = [LibreTranslateAPI(f"{url}/libretranslate", api_key=given) for given in (key, None, "wrong")]
        for client in clients:
            assert client.languages()
        assert clients[0].translate("a", "fr", "en") == "A"
        assert clients[0].detect("Je suis fatigué.")
        for client, status in zip(clients, (429, 401, 401), strict=True):
            for ask in (lambda client: client.translate("a", "fr", "en"), lambda client: client.detect("a")):
                with pytest.raises(HTTPError) as refused:
                    ask(client)
                assert refused.value.code == status
    assert len(stand.translator.seen) == 1


def test_it_hears_why_it_is_refused(client: LibreTranslateAPI) -> None:
    with pytest.raises(HTTPError) as refused:
        client.translate("a", "de", "en")
    assert refused.value.code == 404
    assert json.loads(refused.value.read()) == {"error": "no translation for de-en; available: fr-en, en-fr, ko-en"}
