from __future__ import annotations

import gzip
import json

import pytest

from tests.service.gateway.conftest import Stand

BODY = json.dumps({"inputs": "once upon"}).encode()
PACKED = gzip.compress(BODY)


async def post(client, content, encoding: str = "gzip"):
    headers = {"content-type": "application/json", "content-encoding": encoding}
    return await client.post("/generate", content=content, headers=headers)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
async def test_a_packed_body_is_unpacked(client, encoding):
    plain = await post(client, BODY, "identity")
    assert (await post(client, PACKED, encoding)).json() == plain.json()


async def test_a_packed_body_may_come_in_pieces(client):
    async def pieces():
        for at in range(0, len(PACKED), 5):
            yield PACKED[at : at + 5]

    assert (await post(client, pieces())).status_code == 200


async def test_a_few_packed_bytes_that_say_a_great_many_are_refused():
    stand = Stand({"max_body_bytes": 10_000})
    async with stand.client() as client:
        bomb = gzip.compress(b" " * 10_000_000)
        assert len(bomb) < 10_000
        response = await post(client, bomb)
        assert response.status_code == 413
        assert "at least 10001 bytes when it is unpacked, the limit is 10000" in response.json()["error"]["message"]
        exactly = gzip.compress(BODY + b" " * (10_000 - len(BODY)))
        assert (await post(client, exactly)).status_code == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BODY, "the body is not gzip, as its content-encoding says: "),
        (PACKED[:-6], f"the body is gzip that ends too early, after {len(BODY)} unpacked bytes"),
        (PACKED + b"more", "the body has 4 bytes behind the end of its gzip stream"),
        (b"", "the body is gzip that ends too early, after 0 unpacked bytes"),
    ],
)
async def test_what_is_no_whole_gzip_is_refused(client, content, said):
    response = await post(client, content)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
async def test_other_packings_are_named_and_refused(client, encoding):
    response = await post(client, BODY, encoding)
    assert response.status_code == 415
    assert response.json()["error"]["message"] == f"content-encoding is {encoding!r}, expected gzip or none"
