"""Processes that are killed under load: nothing is lost but what was in flight in them, and that gets an error."""

from __future__ import annotations

import json
import re
import time

import httpx
import pytest

from tests.e2e.service import Service
from tests.faults.load import Clients

CLIENTS = 8


def seconds_until_ready(service: Service, limit_s: float = 40.0) -> float:
    began = time.monotonic()
    while httpx.get(f"{service.url}/readyz", timeout=10).status_code != 200:
        assert time.monotonic() - began < limit_s, f"not ready again:\n{service.output}"
        time.sleep(0.05)
    return time.monotonic() - began


def restarts(service: Service, process: str) -> float:
    text = httpx.get(f"{service.url}/metrics").text
    found = re.search(rf'triptych_restarts_total{{[^}}]*process="{process}"[^}}]*}} (\S+)', text)
    assert found is not None, text
    return float(found[1])


def test_a_killed_replica_costs_refusals_at_most_until_another_one_runs(service: Service) -> None:
    before = restarts(service, "generator")
    with Clients(service.url, CLIENTS) as ledger:
        service.kill_process("ServeReplica:triptych-generator")
        service.wait_for_line("of generator's replicas ended")
        service.wait_for_line("all replicas of generator run again", 60)
        seconds_until_ready(service)
        right = ledger.right
        while ledger.right < right + 2 * CLIENTS:
            assert ledger.hung + ledger.wrong == 0, str(ledger)
            time.sleep(0.05)
    # What was in flight is refused in words; what came later may have waited for the new one.
    assert ledger.hung + ledger.wrong + ledger.broken == 0, str(ledger)
    assert restarts(service, "generator") == before + 1


def test_a_killed_gateway_costs_what_was_in_flight_and_others_wait_or_are_refused(service: Service) -> None:
    before = restarts(service, "gateway")
    with Clients(service.url, CLIENTS) as ledger:
        killed = service.kill_process("service.deployments.server")
        began = time.monotonic()
        assert httpx.get(f"{service.url}/livez", timeout=20).status_code == 200
        gap_s = time.monotonic() - began
        seconds_until_ready(service)
        right = ledger.right
        while ledger.right < right + 2 * CLIENTS:
            time.sleep(0.05)
    print(f"a gateway answered again after {gap_s:.1f} s")
    assert ledger.hung + ledger.wrong == 0, str(ledger)
    assert ledger.broken <= CLIENTS, str(ledger)
    assert str(killed.pid) not in [str(p.pid) for p in service.processes("service.deployments.server")]
    service.wait_for_line("gateway 0 was ended by SIGKILL, another one is started")
    assert restarts(service, "gateway") == before + 1


@pytest.mark.slow
def test_a_killed_controller_of_ray_serve_costs_nothing(service: Service) -> None:
    with Clients(service.url, CLIENTS) as ledger:
        service.kill_process("ray::ServeController")
        time.sleep(8)
    assert ledger.right == ledger.sent, str(ledger)


@pytest.mark.slow
@pytest.mark.parametrize("process", ["raylet/raylet", "gcs_server"])
def test_without_a_vital_process_of_ray_the_service_ends_with_a_reason(doomed: Service, process: str) -> None:
    with Clients(doomed.url, CLIENTS) as ledger:
        doomed.kill_process(process)
        assert doomed.process.wait(20) == 1
        time.sleep(0.5)
        before = dict(ledger.counts)
    assert ledger.hung + ledger.wrong == 0, str(ledger)
    assert ledger.right >= CLIENTS
    assert before  # what comes after the end is refused by the system, at once
    name = process.rpartition("/")[2]
    assert f"Ray cannot go on: its process {name} has ended" in doomed.output
    assert "Stopped" in doomed.output
    assert "Traceback" not in doomed.output
    assert doomed.survivors() == []


@pytest.mark.slow
def test_without_the_process_that_holds_ray_the_service_ends_with_a_reason(doomed: Service) -> None:
    doomed.kill_process("service.deployments.host")
    assert doomed.process.wait(20) == 1
    assert "Ray's process was ended by SIGKILL" in doomed.output
    assert doomed.survivors() == []


@pytest.mark.slow
def test_a_killed_service_leaves_no_process_and_the_port_is_free(doomed: Service, registry: str) -> None:
    doomed.remember_descendants()
    doomed.process.kill()
    doomed.process.wait(5)
    deadline = time.monotonic() + 15
    while doomed.survivors():
        assert time.monotonic() < deadline, doomed.survivors()
        time.sleep(0.1)
    again = Service("--registry", registry, port=doomed.port).wait_until_ready()
    again.stop()


@pytest.mark.slow
def test_a_model_that_does_not_come_back_ends_the_service_with_a_reason(registry: str) -> None:
    service = Service("--registry", registry, environment={"TRIPTYCH_START_TIMEOUT_S": "40"}).wait_until_ready()
    try:
        deadline = time.monotonic() + 90
        while service.process.poll() is None and time.monotonic() < deadline:
            for process in service.processes("ServeReplica:triptych-classifier"):
                process.kill()
            time.sleep(0.3)
        assert service.process.returncode == 1
        assert re.search(r"classifier (did not come back within 40 s|ended 5 times within 60 s)", service.output)
        assert "Traceback" not in service.output
    finally:
        service.kill()


def test_json_log_lines_of_all_processes_parse(service: Service) -> None:
    lines = [line for line in service.lines if "{" in line and "curl" not in line and "triptych" in line]
    loggers = {json.loads(line)["logger"] for line in lines}
    assert {"triptych.http", "triptych.engine", "triptych.supervisor"} <= loggers
