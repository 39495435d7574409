"""The gateway as Ray Serve holds it, without Ray around it."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.deployments.gateway import OneRequestId


async def answer(request: Request) -> Response:
    return PlainTextResponse("well", status_code=418, headers={"x-request-id": "ours", "x-model-version": "m@1"})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_our_request_id_is_left_to_ray_serve_and_all_else_passes(method: str) -> None:
    app = OneRequestId(Starlette(routes=[Route("/", answer)]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway") as client:
        response = await client.request(method, "/")
    assert "x-request-id" not in response.headers
    assert (response.status_code, response.headers["x-model-version"]) == (418, "m@1")
    assert response.text == ("well" if method == "GET" else "")
