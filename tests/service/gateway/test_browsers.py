"""What browsers and carelessly joined addresses ask for, beside the requests themselves."""

from __future__ import annotations

import pytest

from tests.service.gateway.conftest import Stand

PAGE = "https://page.example"


@pytest.fixture
def stand() -> Stand:
    return Stand({"cors_origins": [PAGE]})


def preflight(origin: str = PAGE) -> dict[str, str]:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-request-id"}
    return {"origin": origin, **asked}


async def test_a_page_of_a_named_origin_may_ask_and_read_the_answer(stand, client):
    response = await client.options("/generate", headers=preflight())
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "POST" in response.headers["access-control-allow-methods"]
    answer = await client.post("/generate", json={"inputs": "a"}, headers={"origin": PAGE})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert "retry-after" in answer.headers["access-control-expose-headers"]


async def test_a_page_may_read_why_it_is_refused(stand, client):
    refused = await client.post("/generate", json={"inputs": ""}, headers={"origin": PAGE})
    assert refused.status_code == 422
    assert refused.headers["access-control-allow-origin"] == PAGE


async def test_other_origins_are_not_let_in(stand, client):
    assert (await client.options("/generate", headers=preflight("https://other.example"))).status_code == 400
    answer = await client.post("/generate", json={"inputs": "a"}, headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_without_the_setting_no_origin_is_let_in():
    async with Stand().client() as client:
        answer = await client.options("/generate", headers=preflight())
        assert answer.status_code == 204
        assert "access-control-allow-origin" not in answer.headers


async def test_every_path_says_which_methods_it_takes(stand, client):
    for path, allowed in (
        ("/generate", "OPTIONS, POST"),
        ("/livez", "GET, HEAD, OPTIONS"),
        ("/translate/file/1", "DELETE, GET, HEAD, OPTIONS"),
    ):
        response = await client.options(path)
        assert (response.status_code, response.headers["allow"]) == (204, allowed), path
    assert (await client.options("/nowhere")).status_code == 404


async def test_a_slash_at_the_end_changes_nothing(stand, client):
    for path in ("/generate/", "/generate//"):
        assert (await client.post(path, json={"inputs": "a"})).status_code == 200
    assert (await client.get("/livez/")).json() == {"status": "alive"}
    assert stand.sample("triptych_http_requests_total", route="/generate", status="200") == 2
    assert (await client.get("/")).status_code == 307


async def test_health_is_readiness_under_the_name_that_others_have_for_it(stand, client):
    assert (await client.get("/health")).json() == (await client.get("/readyz")).json()
    assert (await client.head("/health")).status_code == 200
    stand.generator.ready = False
    stand.generator.breaks = RuntimeError("gone")
    await client.post("/generate", json={"inputs": "a"})
    assert (await client.get("/health")).status_code == 503
