"""A process that neither ends nor goes on."""

from __future__ import annotations

import signal
import time

import httpx
import pytest

from tests.e2e.service import Service


def readiness(service: Service) -> tuple[int, float]:
    began = time.monotonic()
    status = httpx.get(f"{service.url}/readyz", timeout=10).status_code
    return status, time.monotonic() - began


@pytest.mark.slow
def test_a_stopped_gateway_is_replaced_and_who_waited_is_answered(service: Service) -> None:
    (gateway,) = service.processes("service.deployments.server")
    gateway.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert httpx.get(f"{service.url}/livez", timeout=40).status_code == 200
    print(f"answered after {time.monotonic() - began:.1f} s")
    service.wait_for_line("gateway 0 has hung for")
    while readiness(service)[0] != 200:
        assert time.monotonic() - began < 60, "not ready again"
        time.sleep(0.2)


@pytest.mark.slow
def test_a_stopped_replica_is_soon_not_ready_is_replaced_and_its_callers_are_refused(service: Service) -> None:
    (replica,) = service.processes("ServeReplica:triptych-classifier")
    replica.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    answers = []
    while (answer := readiness(service))[0] == 200:
        answers.append(answer)
        assert time.monotonic() - stopped < 15, "still ready"
        time.sleep(0.2)
    print(f"not ready after {time.monotonic() - stopped:.1f} s, slowest answer {max(s for _, s in answers):.1f} s")
    assert max(seconds for _, seconds in [*answers, answer]) < 4
    began = time.monotonic()
    refused = httpx.post(f"{service.url}/classify", json={"inputs": "최고"}, timeout=10)
    assert refused.status_code == 503
    assert time.monotonic() - began < 1
    assert 1 < int(refused.headers["retry-after"]) <= 60
    while readiness(service)[0] != 200:
        assert time.monotonic() - stopped < 70, "not replaced"
        time.sleep(0.5)
    print(f"replaced after {time.monotonic() - stopped:.1f} s")
    assert httpx.post(f"{service.url}/classify", json={"inputs": "최고"}).status_code == 200
    while replica.is_running():
        assert time.monotonic() - stopped < 90, "the stopped one is still there"
        time.sleep(0.5)
    print(f"the stopped one ended after {time.monotonic() - stopped:.1f} s")
