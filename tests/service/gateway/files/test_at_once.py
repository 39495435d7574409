from __future__ import annotations

import asyncio
import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from service.errors import Overloaded, ServiceError
from service.gateway.files import routes
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually

FRENCH = {"src_lang": "fr", "tgt_lang": "en"}
WORD = (
    '<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="w"><w:body><w:p><w:r><w:t>un chat</w:t></w:r></w:p>'
    "</w:body></w:document>"
)


def docx() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", WORD)
    return file.getvalue()


async def post(client: httpx.AsyncClient, name: str, data: bytes, **fields: Any) -> httpx.Response:
    return await client.post("/translate/file", files={"file": (name, data)}, data={**FRENCH, **fields})


async def test_a_small_file_comes_back_translated_under_its_new_name(stand: Stand, client: httpx.AsyncClient) -> None:
    response = await post(client, "lettre.fr.md", b"# Un titre\n\nun **deux** trois\n\n1. `code`\n")
    assert (response.status_code, response.text) == (200, "# UN TITRE\n\nUN **DEUX** TROIS\n\n1. `code`\n")
    assert response.headers["content-type"] == "text/markdown"
    assert response.headers["content-disposition"] == 'attachment; filename="lettre.en.md"'
    assert (response.headers["x-texts"], response.headers["x-texts-left"]) == ("2", "0")
    assert response.headers["x-model-version"] == "translator@1"
    assert {(each.source_language, each.target_language, each.priority) for each in stand.translator.seen} == {
        ("fr", "en", 1)
    }
    assert stand.sample("triptych_http_requests_total", route="/translate/file", status="200") == 1


async def test_a_word_document_is_one_again(client: httpx.AsyncClient) -> None:
    response = await post(client, "a.docx", docx())
    assert response.headers["content-type"].endswith("wordprocessingml.document")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert b"UN CHAT" in archive.read("word/document.xml")


async def test_columns_fields_formats_and_encodings_are_those_of_the_command_line(client: httpx.AsyncClient) -> None:
    table = await post(client, "a.csv", b"x,y,z\nun,deux,trois\n", column=["x", "z"])
    assert table.text == "x,y,z\nUN,deux,TROIS\n"
    lines = await post(client, "a.jsonl", b'{"a": {"b": "un"}, "text": "deux"}\n', field="a.b")
    assert json.loads(lines.text) == {"a": {"b": "UN"}, "text": "deux"}
    named = await post(client, "a.weird", "é".encode("cp1252"), format="txt", encoding="cp1252", num_beams="2")
    assert named.content == "É".encode("cp1252")
    assert named.headers["content-disposition"] == 'attachment; filename="a.en.weird"'


async def test_the_language_of_each_text_is_detected(stand: Stand, client: httpx.AsyncClient) -> None:
    response = await post(
        client, "a.txt", "Je suis très fatigué ce soir.\n\n나는 오늘 밤 매우 피곤하다.\n".encode(), src_lang="auto"
    )
    assert response.status_code == 200
    assert {each.source_language for each in stand.translator.seen} == {"fr", "ko"}


async def test_a_name_in_other_letters_is_told_as_browsers_read_it(client: httpx.AsyncClient) -> None:
    response = await post(client, "../편지.txt", b"un")
    assert response.headers["content-disposition"] == "attachment; filename*=utf-8''%ED%8E%B8%EC%A7%80.en.txt"


async def test_what_fails_stays_as_it_was_and_is_counted(stand: Stand, client: httpx.AsyncClient) -> None:
    stand.translator.failing = {"deux": ServiceError("broken")}
    response = await post(client, "a.txt", b"un\n\ndeux\n")
    assert (response.status_code, response.text) == (200, "UN\n\ndeux\n")
    assert (response.headers["x-texts"], response.headers["x-texts-left"]) == ("2", "1")


async def test_a_file_of_which_nothing_could_be_translated_is_an_error(stand: Stand, client: httpx.AsyncClient) -> None:
    stand.translator.failing = {"un": ServiceError("broken")}
    response = await post(client, "a.txt", b"un")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal")
    said = "none of the file's 1 texts could be translated; line 1: broken"
    assert response.json()["error"]["message"] == said


@pytest.mark.parametrize(
    ("name", "data", "fields", "status", "said"),
    [
        ("a.docx", b"no archive", {}, 422, 'file is "a.docx": it is no Word document: File is not a zip file'),
        ("a.pdf", b"%PDF", {}, 422, 'file is "a.pdf", of the endings that can be translated it has none: txt, md'),
        ("a", b"un", {}, 422, 'file is "a", of the endings'),
        ("a.txt", b"", {}, 422, 'file is "a.txt" with 0 bytes'),
        ("a.txt", b"\xff", {"encoding": "utf-8"}, 422, 'file is "a.txt": '),
        ("a.txt", b"un", {"encoding": "nowhere"}, 422, "nowhere"),
        ("a.csv", b"x,y\n1,2\n", {"column": "z"}, 422, 'file is "a.csv": '),
        ("a.jsonl", b"[" * 100_000, {}, 422, 'file is "a.jsonl": '),
        ("a.txt", b"a\n" * 200_001, {}, 422, 'file is "a.txt": it has 200,001 lines and tags, the limit is 200,000'),
        ("a.txt", b"un", {"format": "pdf"}, 422, 'format is "pdf": expected one of txt, md'),
        ("a.txt", b"un", {"num_beams": "many"}, 422, 'num_beams is "many": '),
        ("a.txt", b"un", {"num_beams": "99"}, 422, "99"),
        ("a.txt", b"un", {"job": "perhaps"}, 422, 'job is "perhaps": '),
        ("a.txt", b"un", {"colour": "red"}, 422, "colour is unknown; known are file, src_lang, tgt_lang, model"),
        ("a.txt", b"un", {"src_lang": ["fr", "ko"]}, 422, "src_lang is there 2 times, the limit is 1"),
        ("a.txt", b"un", {"src_lang": ""}, 422, "src_lang is missing"),
        ("a.txt", b"un", {"tgt_lang": "de"}, 404, "no translation for fr-de; available: fr-en, en-fr, ko-en"),
        ("a.txt", b"un", {"src_lang": "auto", "tgt_lang": "de"}, 404, "no translation for auto-de"),
        ("a.txt", b"un", {"model": "nobody"}, 404, "no model 'nobody' serves translate; available: translator"),
        ("a.txt", b"un", {"encoding": "x" * 20_000}, 400, "the body is not multipart/form-data: Part exceeded"),
    ],
)
async def test_what_is_wrong_is_said(
    stand: Stand, client: httpx.AsyncClient, name: str, data: bytes, fields: dict[str, Any], status: int, said: str
) -> None:
    response = await post(client, name, data, **fields)
    assert response.status_code == status, response.text
    assert said in response.json()["error"]["message"]
    assert stand.translator.seen == []


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"json": {"inputs": "a"}}, 415, 'content-type is "application/json", expected multipart/form-data'),
        ({"content": b"a"}, 415, 'content-type is "", expected multipart/form-data'),
        ({"content": b"a", "headers": {"content-type": "multipart/form-data"}}, 400, "Missing boundary"),
        ({"content": b"a", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400, "Invalid multipart"),
        ({"files": {"other": ("a.txt", b"a")}, "data": FRENCH}, 422, "other is a file, expected a text"),
        ({"files": {"file": (None, b"un")}, "data": FRENCH}, 422, "file has no file name"),
        (
            {"files": [("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))], "data": FRENCH},
            422,
            "file is there 2 times",
        ),
        ({"files": {"x": (None, b"")}, "data": FRENCH}, 422, "file is missing"),
    ],
)
async def test_what_is_no_form_with_a_file_is_refused(
    client: httpx.AsyncClient, sent: dict[str, Any], status: int, said: str
) -> None:
    response = await client.post("/translate/file", **sent)
    assert response.status_code == status, response.text
    assert said in response.json()["error"]["message"]


async def test_files_have_a_limit_of_their_own(tmp_path: Any) -> None:
    stand = Stand(limits={"max_body_bytes": 200, "files": {"max_bytes": 5000}})
    async with stand.client() as client:
        assert (await post(client, "a.txt", b"un\n" * 1000)).status_code == 200
        response = await post(client, "a.txt", b"un\n" * 2000)
        assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
        assert "the limit is 5000" in response.json()["error"]["message"]
        assert (await client.post("/translate", json={"inputs": "a" * 300})).status_code == 413


async def test_a_file_for_which_there_is_no_room_is_refused_with_503(stand: Stand, client: httpx.AsyncClient) -> None:
    stand.translator.refusing = {"un": Overloaded("full", retry_after_s=7)}
    response = await post(client, "a.txt", b"un")
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")


async def test_a_file_that_has_begun_waits_for_room(
    stand: Stand, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.translating.crew.TEXTS", 1)
    stand.translator.refusing = {"trois": Overloaded("full", retry_after_s=1)}
    asking = asyncio.create_task(post(client, "a.txt", b"un\n\ndeux\n\ntrois\n"))
    await eventually(lambda: [each.text for each in stand.translator.seen].count("trois"))
    stand.translator.refusing = {}
    assert (await asking).text == "UN\n\nDEUX\n\nTROIS\n"


async def test_a_file_is_late_as_any_request_is(stand: Stand, client: httpx.AsyncClient) -> None:
    stand.translator.holding = {"un"}
    response = await client.post(
        "/translate/file", files={"file": ("a.txt", b"un")}, data=FRENCH, headers={"x-request-timeout-ms": "100"}
    )
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    await eventually(lambda: not stand.translator.running)


async def test_when_the_client_leaves_the_work_stops(stand: Stand) -> None:
    stand.translator.holding = {"un"}
    with stand.server() as url:
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(f"{url}/translate/file", files={"file": ("a.txt", b"un")}, data=FRENCH, timeout=0.5)
        await eventually(lambda: not stand.translator.running and stand.translator.seen)
        await eventually(lambda: stand.sample("triptych_http_requests_total", route="/translate/file", status="499"))
    assert stand.translator.answered == []


async def test_more_files_than_are_answered_at_once_wait_for_their_turn(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    stand.translator.holding = {"un"}
    asking = [asyncio.create_task(post(client, "a.txt", b"un")) for _ in range(routes.AT_ONCE + 2)]
    await eventually(lambda: len(stand.translator.seen) == routes.AT_ONCE)
    await asyncio.sleep(0.05)
    assert len(stand.translator.seen) == routes.AT_ONCE
    stand.translator.release()
    assert {response.status_code for response in await asyncio.gather(*asking)} == {200}
