"""More requests than there is room for: what fits is answered, the rest is told at once when to come back."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.service import Service

SLOTS, WAITING, CLIENTS = 8, 24, 600


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One small generator."""
    settings = tmp_path_factory.mktemp("flood") / "settings.yaml"
    generator = {"task": "generate", "checkpoint": "generator", "slots": SLOTS, "max_waiting": WAITING}
    settings.write_text(json.dumps({"models": {"generator": generator}}))  # which is YAML, too
    running = Service("--registry", registry, "--config", str(settings)).wait_until_ready()
    yield running
    running.stop()


async def flood(service: Service, count: int, tokens: int) -> list[tuple[int, float, str]]:
    """(status, seconds, retry-after) of so many requests at once.

    Over bare sockets: what a client's library takes for so many would be most of what is measured.
    """
    body = json.dumps({"inputs": "배우", "parameters": {"max_new_tokens": tokens, "min_new_tokens": tokens}}).encode()
    head = (
        f"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    everybody = asyncio.Event()

    async def ask() -> tuple[int, float, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await everybody.wait()
        began = time.monotonic()
        writer.write(head.encode() + body)
        async with asyncio.timeout(60):
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        seconds = time.monotonic() - began
        writer.close()
        after = re.search(r"retry-after: (\d+)", answer)
        return int(answer.split(" ", 2)[1]), seconds, after[1] if after else ""

    asking = [asyncio.create_task(ask()) for _ in range(count)]
    await asyncio.sleep(1)
    everybody.set()
    return await asyncio.gather(*asking)


def test_exactly_as_many_wait_as_the_settings_say(service: Service) -> None:
    answers = asyncio.run(flood(service, 100, tokens=400))
    statuses = [status for status, _, _ in answers]
    assert statuses.count(200) == SLOTS + WAITING
    assert statuses.count(503) == 100 - SLOTS - WAITING


def test_a_flood_is_refused_quickly_with_an_hour_that_makes_sense_and_nothing_is_lost(service: Service) -> None:
    answers = asyncio.run(flood(service, CLIENTS, tokens=60))
    refused = [(seconds, int(after)) for status, seconds, after in answers if status == 503]
    assert {status for status, _, _ in answers} == {200, 503}
    assert len(refused) >= CLIENTS // 4
    assert all(1 <= after <= 60 for _, after in refused)
    print(f"{len(refused)} of {CLIENTS} refused, in {statistics.median(s for s, _ in refused) * 1000:.0f} ms (median)")
    assert httpx.get(f"{service.url}/readyz").status_code == 200


def test_after_a_rest_the_hour_is_no_other(service: Service) -> None:
    time.sleep(12)  # longer than rates are remembered
    answers = asyncio.run(flood(service, 100, tokens=200))
    assert all(1 <= int(after) <= 60 for status, _, after in answers if status == 503)
    assert sum(status == 200 for status, _, _ in answers) == SLOTS + WAITING


def test_a_text_that_is_far_too_long_holds_nobody_up(service: Service) -> None:
    async def run() -> tuple[httpx.Response, float]:
        async with httpx.AsyncClient(timeout=60) as client:
            long = [
                asyncio.create_task(client.post(f"{service.url}/generate", json={"inputs": "a " * 500_000}))
                for _ in range(4)
            ]
            began = time.monotonic()
            short = {"inputs": "배우", "parameters": {"max_new_tokens": 2}}
            answer = await client.post(f"{service.url}/generate", json=short)
            seconds = time.monotonic() - began
            refused = await asyncio.gather(*long)
        assert {each.status_code for each in refused} == {422}
        assert "characters, the limit is" in refused[0].json()["error"]["message"]
        return answer, seconds

    answer, seconds = asyncio.run(run())
    assert answer.status_code == 200
    print(f"a short text beside four of a megabyte: {seconds * 1000:.0f} ms")
