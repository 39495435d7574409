from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from service.errors import ReloadFailed
from tests.service.gateway.conftest import Stand

TOKEN = "0123456789abcdef"


@pytest.fixture
def stand() -> Stand:
    return Stand({"admin_token": TOKEN})


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[httpx.AsyncClient]:
    async with stand.client() as client:
        yield client


async def reload(client: httpx.AsyncClient, token: str | None = TOKEN, **body: object) -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return await client.post("/admin/reload", json=body, headers=headers)


async def test_a_model_is_reloaded_and_info_knows_it_at_once(stand, client):
    assert (await client.get("/info")).json()["models"][0]["version"] == "translator@1"
    answer = await reload(client, model="translator", checkpoint="translator@3")
    assert answer.status_code == 200
    assert answer.json() == {"model": "translator", "previous": "translator@1", "version": "translator@3"}
    assert (await client.get("/info")).json()["models"][0]["version"] == "translator@3"


async def test_without_a_checkpoint_the_worker_takes_what_the_settings_name(stand, client):
    assert (await reload(client, model="generator")).json()["version"] == "generator@2"


async def test_a_failed_reload_says_why(stand, client):
    stand.translator.reloading = ReloadFailed("translator goes on with translator@1: it was damaged")
    answer = await reload(client, model="translator")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "reload_failed")
    assert "damaged" in answer.json()["error"]["message"]


@pytest.mark.parametrize("token", [None, "", "0123456789abcdeg", "0123456789abcde", "ééé"])
async def test_who_does_not_know_the_token_is_sent_away(stand, client, token):
    headers = {} if token is None else {"authorization": f"Bearer {token}".encode()}
    answer = await client.post("/admin/reload", json={"model": "translator"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert stand.translator.info.version == "translator@1"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"model": "nobody"}, 404, "no model 'nobody'; available: translator"),
        ({}, 422, "model is missing"),
        ({"model": "translator", "checkpoint": "/etc"}, 422, 'checkpoint is "/etc"'),
        ({"model": "translator", "checkpoint": "../x@1"}, 422, 'checkpoint is "../x@1"'),
        ({"model": "translator", "force": True}, 422, "force is unknown"),
    ],
)
async def test_what_cannot_be_reloaded_is_said_and_is_not(stand, client, body, status, said):
    answer = await reload(client, **body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert stand.translator.info.version == "translator@1"


async def test_the_route_is_counted_under_its_own_name(stand, client):
    await reload(client, model="translator")
    assert stand.sample("triptych_http_requests_total", route="/admin/reload", status="200") == 1


async def test_without_a_token_in_the_settings_there_is_no_such_route():
    async with Stand().client() as client:
        assert (await reload(client, model="translator")).status_code == 404


def test_a_token_is_not_shown_where_settings_are() -> None:
    from service.config import GatewaySettings

    assert TOKEN not in repr(GatewaySettings(admin_token=TOKEN))
    with pytest.raises(ValueError, match="at least 16"):
        GatewaySettings(admin_token="short")
