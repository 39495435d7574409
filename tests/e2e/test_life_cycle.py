"""Start, stop, taken ports, two services at once: `triptych serve` as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import checkpoints
from tests.e2e.service import Service, free_port


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(checkpoints.registry(tmp_path_factory.mktemp("tiny"), context=2048))


def test_it_says_what_it_does_and_ends_on_sigterm_finishing_what_runs(registry: str) -> None:
    service = Service("--registry", registry).wait_until_ready()
    for said in ("Starting Ray", "Loading translator", "Ready", service.url, "curl", "translator@1", "on cpu"):
        assert said in service.output
    answers: list[int] = []

    def ask() -> None:
        body = {"inputs": "배우", "parameters": {"max_new_tokens": 1500}}
        answers.append(httpx.post(f"{service.url}/generate", json=body, timeout=30).status_code)

    asking = [threading.Thread(target=ask) for _ in range(8)]
    for thread in asking:
        thread.start()
    running = re.compile(r'triptych_running_requests{[^}]*model="generator"[^}]*} 8\.0')
    while not running.search(httpx.get(f"{service.url}/metrics").text):
        assert not answers, "the requests were over before they could be interrupted"
    seconds = service.stop(signal.SIGTERM)
    for thread in asking:
        thread.join()
    assert answers == [200] * 8
    assert service.process.returncode == 0
    assert seconds < 10
    assert service.survivors() == []
    assert "Stopped" in service.output


def test_two_services_do_not_disturb_each_other_and_ctrl_c_ends_one(registry: str) -> None:
    first, second = Service("--registry", registry), Service("--registry", registry)
    first.wait_until_ready()
    second.wait_until_ready()
    try:
        body = {"inputs": "최고"}
        assert (
            httpx.post(f"{first.url}/classify", json=body).json()
            == httpx.post(f"{second.url}/classify", json=body).json()
        )
        assert first.stop(signal.SIGINT) < 10
        assert first.process.returncode == 0
        assert first.survivors() == []
        assert httpx.post(f"{second.url}/classify", json=body).status_code == 200
    finally:
        second.stop()
    assert second.survivors() == []


def test_a_taken_port_is_said_plainly(registry: str) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        service = Service("--registry", registry, port=port)
        assert service.process.wait(20) == 1
    service.stop()
    assert f"cannot listen on 127.0.0.1:{port}" in service.output
    assert "Traceback" not in service.output


def test_a_missing_checkpoint_is_said_plainly(tmp_path: Path) -> None:
    service = Service("--registry", str(tmp_path / "nowhere"))
    assert service.process.wait(60) == 1
    service.stop()
    assert "nowhere" in service.output
    assert "Traceback" not in service.output


def test_a_setting_that_makes_no_sense_is_said_plainly(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("gateway: {max_inputs: -3}\n")
    service = Service("--config", str(settings))
    assert service.process.wait(20) == 2
    service.stop()
    assert "max_inputs" in service.output
    assert "-3" in service.output
    assert "Traceback" not in service.output


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a Ray that somebody else started and that goes on when the service ends."""
    program = (
        "import ray, sys; ray.init(address='local', include_dashboard=False, num_cpus=4, object_store_memory=10**8);"
        "print(ray.get_runtime_context().gcs_address, flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    head = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert head.stdin is not None
    assert head.stdout is not None
    yield next(line for line in head.stdout if re.fullmatch(r"[\d.]+:\d+\n", line)).strip()
    head.stdin.close()
    head.wait(30)


def test_it_joins_a_cluster_and_leaves_it_running(registry: str, cluster: str) -> None:
    environment = {"RAY_AUTH_MODE": "disabled"}
    service = Service("--registry", registry, "--address", cluster, environment=environment).wait_until_ready()
    assert f"Joining the Ray cluster at {cluster}" in service.output
    assert httpx.post(f"{service.url}/classify", json={"inputs": "최고"}).status_code == 200
    assert service.stop() < 10
    assert service.process.returncode == 0
    again = Service("--registry", registry, "--address", cluster, port=service.port, environment=environment)
    again.wait_until_ready()
    assert httpx.post(f"{again.url}/classify", json={"inputs": "최고"}).status_code == 200
    again.stop()
