"""Start, stop, taken ports, two services at once: `triptych serve` as a process."""

from __future__ import annotations

import re
import signal
import socket
import threading
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
