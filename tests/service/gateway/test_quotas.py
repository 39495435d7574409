"""Quotas that several gateways share, in a real Redis."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from service.errors import QuotaExceeded
from service.gateway import quotas
from service.gateway.keys import Key
from service.gateway.quotas import Quotas
from tests.waiting import wait_for

KEY = Key(name="shop", sha256="0" * 64, requests="3/hour", tokens="10/hour")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def redis(port: int) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with start(program, port) as running:
        yield running
        running.terminate()


def start(program: str, port: int) -> subprocess.Popen[bytes]:
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: answers(port))
    return running


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.usefixtures("redis")
async def test_gateways_that_share_a_redis_share_a_quota(port: int) -> None:
    one, other = Quotas(f"redis://127.0.0.1:{port}"), Quotas(f"redis://127.0.0.1:{port}")
    await one.enter(KEY)
    await other.enter(KEY)
    await one.spend(KEY, 10)
    with pytest.raises(QuotaExceeded, match="10 tokens per hour") as refused:
        await other.enter(KEY)
    assert 3590 < (refused.value.retry_after_s or 0) <= 3600
    with pytest.raises(QuotaExceeded, match="3 requests per hour"):
        await other.enter(KEY)


async def test_a_redis_that_is_away_refuses_nobody_and_is_asked_again_later(
    redis: subprocess.Popen[bytes], port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quotas, "AWAY_S", 0.3)
    counted = Quotas(f"redis://127.0.0.1:{port}")
    for _ in range(3):
        await counted.enter(KEY)
    redis.terminate()
    redis.wait()
    for _ in range(2):
        await counted.enter(KEY)
        await counted.spend(KEY, 1)
    assert [record.message.partition(":")[0] for record in caplog.records] == ["quotas are not counted for 0.3 s"]
    with start(str(redis.args[0]), port) as anew:  # type: ignore[index]  # a list, see `start`
        time.sleep(0.3)
        for _ in range(3):
            await counted.enter(KEY)
        with pytest.raises(QuotaExceeded):
            await counted.enter(KEY)
        anew.terminate()


async def test_a_storage_that_is_not_there_from_the_start_refuses_nobody(port: int) -> None:
    await Quotas(f"redis://127.0.0.1:{port}").enter(KEY)


def test_a_storage_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="quotas cannot be counted at 'nowhere://x'"):
        Quotas("nowhere://x")
