from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse, Response

from service.gateway.routing import get, route_names
from tests.service.gateway.conftest import Stand


def app() -> FastAPI:
    made = FastAPI(openapi_url=None)

    @get(made, "/things")
    async def things() -> Response:
        return PlainTextResponse("all")

    @get(made, "/things/{id}/parts")
    async def parts() -> Response:
        return PlainTextResponse("parts")

    return made


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/things", "/things"),
        ("/things/7/parts", "/things/{id}/parts"),
        ("/things/a%20b/parts", "/things/{id}/parts"),
        ("/things/7", "other"),
        ("/things/7/parts/8", "other"),
        ("/things/7/8/parts", "other"),
        ("", "other"),
    ],
)
def test_a_path_is_called_by_its_route(path: str, name: str) -> None:
    assert route_names(app().routes)(path) == name


async def test_what_takes_get_takes_head() -> None:
    transport = httpx.ASGITransport(app=app())
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.head("/things")).status_code == 200
        assert (await client.get("/things/7/parts")).text == "parts"


async def test_a_method_that_a_path_does_not_take_is_refused_with_all_that_it_takes(
    stand: Stand, client: httpx.AsyncClient
) -> None:
    response = await client.put("/translate/file/7")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")
    assert (
        response.json()["error"]["message"]
        == "/translate/file/7 does not take PUT; it takes DELETE, GET, HEAD, OPTIONS"
    )
