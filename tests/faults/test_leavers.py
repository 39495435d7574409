"""Clients that leave do not disturb those that stay."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress

import httpx

from tests.e2e.service import Service
from tests.faults.load import body, expected_texts, judged

STAYERS, LEAVERS, ROUNDS = 50, 100, 4


async def stay(client: httpx.AsyncClient, url: str, number: int, expected: dict[str, str], ends: Counter[str]) -> None:
    request = body(number)
    answer = await client.post(f"{url}/generate", json=request)
    outcome, what = judged(answer, expected[request["inputs"]], stream=request["stream"])
    ends["right" if outcome == "right" else f"{outcome}: {what}"] += 1


async def leave(client: httpx.AsyncClient, url: str, number: int) -> None:
    """Open a request, streamed or not, and drop it after a moment."""
    with suppress(TimeoutError):
        async with asyncio.timeout(random.Random(number).uniform(0.01, 0.3)):
            await client.post(f"{url}/generate", json=body(number, tokens=200))


def test_nobody_who_stays_loses_an_answer_to_those_who_leave(service: Service) -> None:
    expected = expected_texts(service.url)
    ends: Counter[str] = Counter()

    async def run() -> None:
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(timeout=60, limits=limits) as staying,
            httpx.AsyncClient(timeout=60, limits=limits) as leaving,
        ):
            for _ in range(ROUNDS):
                await asyncio.gather(
                    *(leave(leaving, service.url, number) for number in range(LEAVERS)),
                    *(stay(staying, service.url, number, expected, ends) for number in range(STAYERS)),
                )

    asyncio.run(run())
    assert ends == {"right": STAYERS * ROUNDS}
    assert httpx.get(f"{service.url}/readyz").status_code == 200
