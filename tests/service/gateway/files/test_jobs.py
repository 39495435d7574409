from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import NotReady, Overloaded, ServiceError
from service.gateway.files import jobs
from service.translating import crew
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually

FRENCH = {"src_lang": "fr", "tgt_lang": "en"}
LINES = [f"ligne {chr(97 + number)}" for number in range(6)]
TEXT = "\n\n".join(LINES).encode()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "TEXTS", 1)
    monkeypatch.setattr(jobs, "LOOK_S", 0.05)
    monkeypatch.setattr(jobs, "TELL_S", 0.0)
    monkeypatch.setattr("service.gateway.files.translator.MOST_RETRY_S", 0.05)


def stand_over(state: Path, **limits: Any) -> Stand:
    return Stand(limits={"max_characters": 20, **limits}, state=state)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return stand_over(tmp_path)


async def post(client: httpx.AsyncClient, data: bytes = TEXT, name: str = "a.txt", **fields: Any) -> httpx.Response:
    return await client.post("/translate/file", files={"file": (name, data)}, data={**FRENCH, **fields})


async def added(client: httpx.AsyncClient, **fields: Any) -> str:
    response = await post(client, **fields)
    assert response.status_code == 202, response.text
    return response.json()["id"]


async def status(client: httpx.AsyncClient, id: str) -> dict[str, Any]:
    response = await client.get(f"/translate/file/{id}")
    assert response.status_code == 200, response.text
    return response.json()


async def at_end(client: httpx.AsyncClient, id: str, seconds: float = 10.0) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while (said := await status(client, id))["status"] in ("waiting", "running"):
            await asyncio.sleep(0.01)
    return said


async def test_a_large_file_becomes_a_job_that_can_be_followed_fetched_and_removed(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    stand.translator.holding = {LINES[4]}
    response = await post(client)
    assert response.status_code == 202
    where = response.headers["location"]
    assert where == f"/translate/file/{response.json()['id']}"
    assert response.json()["status"] in ("waiting", "running")
    await eventually(lambda: len(stand.translator.answered) == 5)
    async with asyncio.timeout(5):
        while (said := (await client.get(where)).json())["characters"] != {"done": 35, "total": 42}:
            await asyncio.sleep(0.01)
    assert (said["status"], said["file"], said["texts"]) == ("running", "a.txt", 6)
    early = await client.get(f"{where}/result")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_finished")
    assert early.json()["error"]["message"].endswith("is running; a job that is done has a result")
    stand.translator.release()
    said = await at_end(client, said["id"])
    assert said["status"] == "done"
    assert said["characters"] == {"done": 42, "total": 42}
    none = {"count": 0, "first": []}
    assert said["result"] == {"file": "a.en.txt", "bytes": 52, "left": none, "doubtful": none, "notes": []}
    assert said["created"] <= said["ended"] < said["expires"]
    result = await client.get(f"{where}/result")
    assert result.content == TEXT.upper()
    kept = {"job.json", "progress.json", "result", "end.json", "lock"}
    await eventually(lambda: {path.name for path in (stand.state / "files" / said["id"]).iterdir()} == kept)
    assert result.headers["content-disposition"] == 'attachment; filename="a.en.txt"'
    assert (await client.head(f"{where}/result")).headers["content-length"] == "52"
    assert (await client.delete(where)).status_code == 204
    for asked in (client.get(where), client.get(f"{where}/result"), client.delete(where)):
        assert (await asked).status_code == 404
    assert [*(stand.state / "files").iterdir()] == []


async def test_ids_are_no_labels_of_metrics(stand: Stand, client: httpx.AsyncClient) -> None:
    id = await added(client, job="true", data=b"un")
    await at_end(client, id)
    for unknown in ("a" * 32, "nothing", "%2e%2e%2fb", "a" * 33):
        assert (await client.get(f"/translate/file/{unknown}")).status_code == 404
    await client.get(f"/translate/file/{id}/result")
    assert id.encode() not in stand.metrics.render()
    assert stand.sample("triptych_http_requests_total", route="/translate/file/{id}/result", status="200") == 1
    assert stand.sample("triptych_http_requests_total", route="/translate/file/{id}", status="404") >= 2


async def test_a_job_is_asked_for_and_declined(stand: Stand, client: httpx.AsyncClient) -> None:
    id = await added(client, job="true", data=b"un")
    assert (await at_end(client, id))["result"]["bytes"] == 2
    response = await post(client, job="false")
    assert response.status_code == 422
    said = "the file has texts of 42 characters, the limit without a job is 20"
    assert response.json()["error"]["message"] == said


async def test_a_job_goes_on_where_another_gateway_left_it(tmp_path: Path) -> None:
    first = stand_over(tmp_path)
    first.translator.holding = set(LINES[3:])
    async with first.client() as client:
        id = await added(client)
        journal = tmp_path / "files" / id / "journal"
        await eventually(lambda: journal.exists() and journal.read_text().count("digest") == 3)
    second = stand_over(tmp_path)
    async with second.client() as client:
        assert (await at_end(client, id))["status"] == "done"
        assert (await client.get(f"/translate/file/{id}/result")).content == TEXT.upper()
    assert sorted(second.translator.answered) == LINES[3:]


async def test_a_job_outlives_the_death_of_its_process(tmp_path: Path) -> None:
    """What a process leaves that is killed: a lock that is free again, a line that was cut off, and no goodbye."""
    first = stand_over(tmp_path, files={"max_jobs": 5})
    first.translator.holding = {LINES[0]}
    async with first.client() as client:
        id = await added(client)
        await eventually(lambda: first.translator.answered)
    folder = tmp_path / "files" / id
    with (folder / "journal").open("a") as journal:
        journal.write('{"digest": "cut o')
    (folder / ".result.123").write_bytes(b"half")
    second = stand_over(tmp_path)
    async with second.client() as client:
        assert (await at_end(client, id))["status"] == "done"
        assert (await client.get(f"/translate/file/{id}/result")).content == TEXT.upper()


async def test_two_gateways_over_one_folder_share_the_jobs_and_work_on_none_twice(tmp_path: Path) -> None:
    stands = [stand_over(tmp_path), stand_over(tmp_path)]
    async with stands[0].client() as one, stands[1].client() as other:
        texts = ["\n\n".join(f"{line} {chr(97 + number)}" for line in LINES) for number in range(8)]
        ids = [await added(one, data=text.encode()) for text in texts]
        for id, text in zip(ids, texts, strict=True):
            assert (await at_end(other, id))["status"] == "done"
            result = await other.get(f"/translate/file/{id}/result")
            assert result.text == text.upper()
    answered = [*stands[0].translator.answered, *stands[1].translator.answered]
    assert len(answered) == len(texts) * len(LINES)
    assert all(stand.translator.answered for stand in stands)


async def test_what_is_removed_at_one_gateway_ends_at_the_other(tmp_path: Path) -> None:
    stands = [stand_over(tmp_path), stand_over(tmp_path)]
    for stand in stands:
        stand.translator.holding = {*LINES}
    async with stands[0].client() as one, stands[1].client() as other:
        id = await added(one)
        await eventually(lambda: any(stand.translator.running for stand in stands))
        for client in (one, other):
            await client.delete(f"/translate/file/{id}")
        await eventually(lambda: not any(stand.translator.running for stand in stands))
        await asyncio.sleep(0.2)
        assert [*(tmp_path / "files").iterdir()] == []


async def test_what_is_written_while_a_job_is_removed_goes_with_it(
    stand: Stand, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed_meanwhile(path: Path, data: bytes) -> None:
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        path.write_bytes(data)

    monkeypatch.setattr(jobs, "overwrite", removed_meanwhile)
    id = await added(client)
    await eventually(lambda: not [*(stand.state / "files").iterdir()])
    assert (await client.get(f"/translate/file/{id}")).status_code == 404


async def test_jobs_wait_for_models_without_room_and_for_those_that_are_gone(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    full, gone = {line: Overloaded("full") for line in LINES}, {line: NotReady("gone") for line in LINES}
    for refusing in (full, gone):
        stand.translator.refusing = refusing
        before = len(stand.translator.seen)
        id = await added(client)
        await eventually(lambda before=before: len(stand.translator.seen) >= before + 4)
        assert (await status(client, id))["status"] == "running"
        stand.translator.refusing = {}
        assert (await at_end(client, id))["status"] == "done"


async def test_whoever_waits_for_an_answer_goes_first(stand: Stand, client: httpx.AsyncClient) -> None:
    stand.translator.holding = {*LINES}
    await added(client)
    await eventually(lambda: len(stand.translator.seen) == jobs.REQUESTS_AT_ONCE)
    await asyncio.sleep(0.05)
    assert len(stand.translator.seen) == jobs.REQUESTS_AT_ONCE
    assert {request.priority for request in stand.translator.seen} == {1}
    answer = await client.post("/translate", json={"inputs": "un", "parameters": FRENCH})
    assert answer.status_code == 200


async def test_what_fails_is_told_with_its_place_and_a_bounded_number_of_times(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    words = [f"mot {number}" for number in range(50)]
    stand.translator.failing = {word: ServiceError("broken") for word in words[:40]}
    said = await at_end(client, await added(client, data="\n\n".join(words).encode()))
    left = said["result"]["left"]
    assert (said["status"], left["count"], len(left["first"])) == ("done", 40, jobs.SHOWN)
    assert left["first"][1] == {"place": "line 3", "reason": "broken"}


async def test_a_job_of_which_nothing_could_be_translated_has_failed(stand: Stand, client: httpx.AsyncClient) -> None:
    stand.translator.failing = {line: ServiceError("broken") for line in LINES}
    said = await at_end(client, id := await added(client))
    assert (said["status"], said["error"]["code"], said["result"]) == ("failed", "internal", None)
    assert said["error"]["message"] == "none of the file's 6 texts could be translated; line 1: broken"
    response = await client.get(f"/translate/file/{id}/result")
    assert response.status_code == 409
    assert "is failed: none of the file's 6 texts" in response.json()["error"]["message"]


async def test_a_job_whose_model_is_served_no_more_has_failed(stand: Stand, tmp_path: Path) -> None:
    async with stand.client() as client:
        stand.translator.holding = {*LINES}
        id = await added(client)
    job = tmp_path / "files" / id / "job.json"
    said = json.loads(job.read_bytes())
    job.write_text(json.dumps({**said, "options": {**said["options"], "model": "another"}}))
    async with stand_over(tmp_path).client() as client:
        end = await at_end(client, id)
    assert end["error"] == {
        "code": "unknown_model",
        "message": "no model 'another' serves translate; available: translator",
    }


async def test_only_so_many_jobs_and_bytes_are_kept(tmp_path: Path) -> None:
    async with stand_over(tmp_path, files={"max_jobs": 2, "max_kept_bytes": 1000}).client() as client:
        response = await post(client, data=b"un " * 400)
        assert (response.status_code, response.json()["error"]["limit"]) == (503, 1000)
        assert "1200 more would exceed the limit of 1000" in response.json()["error"]["message"]
        ids = [await added(client) for _ in range(2)]
        response = await post(client)
        assert (response.status_code, response.headers["retry-after"]) == (503, "60")
        assert "2 jobs are kept, the limit is 2" in response.json()["error"]["message"]
        await client.delete(f"/translate/file/{ids[0]}")
        await added(client)


async def test_what_a_removed_job_left_takes_nobodys_place(tmp_path: Path) -> None:
    left = tmp_path / "files" / ("a" * 32)
    left.mkdir(parents=True)
    (left / "journal").write_text("written when the job was removed already")
    async with stand_over(tmp_path, files={"max_jobs": 1}).client() as client:
        await added(client)


async def test_results_are_removed_when_their_time_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SWEEP_S", 0.0)
    async with stand_over(tmp_path, files={"keep_hours": 1 / 3600}).client() as client:
        id = await added(client)
        await eventually(lambda: not [*(tmp_path / "files").iterdir()])
        response = await client.get(f"/translate/file/{id}")
        assert response.status_code == 404
        assert response.json()["error"]["message"].startswith(f"there is no job '{id}'")


async def test_a_damaged_job_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged, lost = tmp_path / "files" / ("a" * 32), tmp_path / "files" / ("b" * 32)
    damaged.mkdir(parents=True)
    (damaged / "job.json").write_text('{"name": ')
    (tmp_path / "files" / "something else").mkdir()
    stand = stand_over(tmp_path)
    stand.translator.holding = {*LINES}
    async with stand.client() as client:
        id = await added(client)
    (tmp_path / "files" / id).rename(lost)
    (lost / "source").unlink()
    with caplog.at_level(logging.ERROR, "triptych.files"):
        async with stand_over(tmp_path).client() as client:
            assert (await at_end(client, await added(client)))["status"] == "done"
            said = await status(client, damaged.name)
            assert said["status"] == "failed"
            assert said["error"]["message"].startswith("the job is damaged: job.json cannot be read: JSONDecodeError")
            assert "cannot be read any more" in (await at_end(client, lost.name))["error"]["message"]
            assert (await client.delete(f"/translate/file/{damaged.name}")).status_code == 204
    assert len([record for record in caplog.records if damaged.name in record.getMessage()]) == 2, "each said it"


async def test_a_file_that_ends_every_process_that_reads_it_is_given_up(tmp_path: Path) -> None:
    stand = stand_over(tmp_path)
    stand.translator.holding = {*LINES}
    async with stand.client() as client:
        id = await added(client)
        progress = tmp_path / "files" / id / "progress.json"
        await eventually(progress.exists)
        assert json.loads(progress.read_text())["in_vain"] == 1
    assert json.loads(progress.read_text())["in_vain"] == 0, "it was given back in good order"
    progress.write_text('{"done": 0, "total": 9, "in_vain": 3}')
    async with stand_over(tmp_path).client() as client:
        said = await at_end(client, id)
    assert said["error"]["message"] == "3 times a process ended that had just taken up this file"


async def test_a_job_that_somebody_else_holds_is_left_alone_until_he_lets_go(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    stand.translator.holding = {"un"}
    first = await added(client, job="true", data=b"un")
    await eventually(lambda: stand.translator.seen)
    second = await added(client)
    lock = os.open(stand.state / "files" / second / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    stand.translator.release()
    await at_end(client, first)
    await asyncio.sleep(0.2)
    assert (await status(client, second))["status"] == "running", "by somebody else"
    assert stand.translator.answered == ["un"]
    os.close(lock)
    assert (await at_end(client, second))["status"] == "done"


async def test_where_no_job_can_be_kept_it_is_said_and_small_files_are_answered(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("no folder")
    async with stand_over(tmp_path).client() as client:
        response = await post(client)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
        assert "the job cannot be kept" in response.json()["error"]["message"]
        assert (await post(client, data=b"un")).text == "UN"
