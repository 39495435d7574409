from __future__ import annotations

import logging
import subprocess
import sys

import pytest


@pytest.mark.parametrize("given", ["mine", "with spaces: ok", "~" * 128])
async def test_a_sane_request_id_is_taken_over(client, given):
    response = await client.get("/livez", headers={"x-request-id": given})
    assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", [b"", b"~" * 129, "é".encode(), b"tab\tbed"])
async def test_any_other_request_id_is_replaced(client, given):
    response = await client.get("/livez", headers={"x-request-id": given})
    assert len(response.headers["x-request-id"]) == 32


async def test_each_request_is_logged_once_with_its_id(client, caplog):
    caplog.set_level(logging.INFO, "triptych")
    await client.post("/generate", json={"inputs": ["a", "b"]}, headers={"x-request-id": "mine"})
    await client.get("/livez")
    (record,) = caplog.records
    assert record.getMessage() == "POST /generate 200"
    assert (record.request_id, record.model, record.texts) == ("mine", "generator", 2)


async def test_requests_are_counted_by_a_bounded_set_of_routes(stand, client):
    await client.post("/generate", json={"inputs": "a"})
    for path in ("/a", "/b", "/generate/x"):
        await client.get(path)
    assert stand.sample("triptych_http_requests_total", route="/generate", status="200") == 1
    assert stand.sample("triptych_http_requests_total", route="other", status="404") == 3
    assert stand.sample("triptych_http_request_duration_seconds_count", route="other") == 3
    assert stand.sample("triptych_http_requests_in_flight", route="/generate") == 0
    assert stand.sample("triptych_batch_requests_count", model="generator") == 1


def test_importing_the_gateway_loads_neither_torch_nor_ray_nor_the_engine():
    code = "import sys, service.gateway.app; print([m for m in ('torch', 'ray', 'service.engine') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
