"""Keys and what they may, over a gateway with fake workers. Quotas are counted by a real library over real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from service.gateway.keys import hash_of, new_key
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually

SHOP, SLOW, MEAN = new_key(), new_key(), new_key()


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    entries = [
        {"name": "shop", "sha256": hash_of(SHOP), "most_urgent": -2},
        {"name": "slow", "sha256": hash_of(SLOW), "requests": "2/hour", "most_urgent": 3},
        {"name": "mean", "sha256": hash_of(MEAN), "tokens": "6/day; 1000/month"},
    ]
    (tmp_path / "keys.yaml").write_text(yaml.safe_dump({"keys": entries}))
    return Stand({"keys": tmp_path / "keys.yaml"}, state=tmp_path / "state")


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[httpx.AsyncClient]:
    async with stand.client() as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def ask(client: httpx.AsyncClient, key: str, **body: object) -> httpx.Response:
    return await client.post("/generate", json={"inputs": "a", **body}, headers=bearer(key))


@pytest.mark.parametrize("headers", [bearer(SHOP), {"x-api-key": SHOP}, {"authorization": f"bearer  {SHOP} "}])
async def test_who_has_a_key_is_answered(stand, client, headers):
    assert (await client.post("/generate", json={"inputs": "a"}, headers=headers)).status_code == 200
    assert stand.sample("triptych_key_requests_total", key="shop", status="200") == 1


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "this needs a key: the header authorization: Bearer KEY"),
        ({"authorization": SHOP}, "this needs a key"),
        ({"authorization": f"Basic {SHOP}"}, "this needs a key"),
        (bearer("tk-guessed"), "the key is none of those that may ask here"),
        ({"x-api-key": ""}, "the key is none of those"),
    ],
)
async def test_who_has_none_is_told_so_and_no_worker_is_asked(stand, client, headers, said):
    for path in (
        "/generate",
        "/translate",
        "/detect",
        "/translate/file",
        "/",
        "/generate_stream",
        "/rerank",
        "/tokenize",
    ):
        response = await client.post(path, json={"inputs": "a"}, headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "unauthorized"
        assert said in response.json()["error"]["message"]
        assert response.headers["www-authenticate"] == "Bearer"
    assert not stand.generator.seen
    assert stand.sample("triptych_http_errors_total", route="/generate", code="unauthorized") == 1


async def test_probes_pages_and_what_is_not_there_need_no_key(client):
    for path in ("/livez", "/readyz", "/health", "/info", "/metrics", "/docs", "/openapi.json"):
        assert (await client.get(path)).status_code == 200, path
    assert (await client.get("/nowhere")).status_code == 404
    assert (await client.get("/")).status_code == 307, "which a generator answers with a key to who posts"
    assert (await client.options("/generate")).status_code == 204


async def test_a_quota_of_requests_ends_with_the_time_until_it_begins_anew(stand, client):
    assert [(await ask(client, SLOW)).status_code for _ in range(3)] == [200, 200, 429]
    response = await ask(client, SLOW)
    error = response.json()["error"]
    assert (error["code"], error["quota"], error["limit"]) == ("quota_exceeded", "requests", 2)
    assert error["message"].startswith("the quota of the key 'slow', 2 requests per hour, is used up for ")
    assert 3500 < int(response.headers["retry-after"]) <= 3600
    assert stand.sample("triptych_key_refusals_total", key="slow", quota="requests") == 2
    assert stand.sample("triptych_key_requests_total", key="slow", status="429") == 2
    assert len(stand.generator.seen) == 2
    assert (await ask(client, SHOP)).status_code == 200  # it is the key's own


async def test_a_quota_of_tokens_counts_what_was_read_and_written(stand, client):
    answers = [await ask(client, MEAN, inputs="a b") for _ in range(4)]  # 5 tokens each
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert "6 tokens per day" in answers[2].json()["error"]["message"]
    assert stand.sample("triptych_key_tokens_total", key="mean") == 10
    assert stand.sample("triptych_key_refusals_total", key="mean", quota="tokens") == 2


async def test_the_tokens_of_a_stream_count_too_also_of_one_whose_client_left(stand, client):
    answer = await ask(client, SHOP, inputs="a b", stream=True)
    assert answer.status_code == 200
    assert stand.sample("triptych_key_tokens_total", key="shop") == 5
    stand.generator.holding_after_first = {"c d e"}
    leaving = asyncio.create_task(ask(client, SHOP, inputs="c d e", stream=True))
    await eventually(lambda: stand.generator.seen[-1].text == "c d e")
    await asyncio.sleep(0.1)
    leaving.cancel()
    await eventually(lambda: stand.sample("triptych_key_tokens_total", key="shop") == 6)


async def test_a_request_is_as_urgent_as_its_key_may_be_and_no_more(stand, client):
    for key, asked, given in ((SHOP, None, 0), (SHOP, -2, -2), (SHOP, 7, 7), (SLOW, None, 3)):
        response = await ask(client, key, parameters={"priority": asked})
        assert (response.status_code, stand.generator.seen[-1].priority) == (200, given)
    response = await ask(client, SLOW, parameters={"priority": 2})
    assert response.status_code == 403
    assert response.json()["error"]["message"] == "priority is 2, the most urgent for the key 'slow' is 3"
    assert response.json()["error"]["limit"] == 3


async def test_a_job_is_its_keys_alone_and_costs_it_tokens(stand, client):
    files = {"file": ("a.txt", b"un\ndeux\n")}
    data = {"src_lang": "fr", "tgt_lang": "en", "job": "true"}
    made = await client.post("/translate/file", files=files, data=data, headers=bearer(SHOP))
    assert made.status_code == 202
    place = made.headers["location"]

    async def done() -> bool:
        return (await client.get(place, headers=bearer(SHOP))).json()["status"] == "done"

    for _ in range(200):
        if await done():
            break
        await asyncio.sleep(0.05)
    assert (await client.get(f"{place}/result", headers=bearer(SHOP))).text == "UN\nDEUX\n"
    assert stand.sample("triptych_key_tokens_total", key="shop") == 8
    for method in ("GET", "DELETE"):
        response = await client.request(method, place, headers=bearer(MEAN))
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    assert (await client.get(f"{place}/result", headers=bearer(MEAN))).status_code == 404
    assert (await client.delete(place, headers=bearer(SHOP))).status_code == 204
