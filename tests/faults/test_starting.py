"""What can be wrong at the start: each is one plain sentence, soon, and nothing is left behind."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.service import Service


def refused(service: Service, seconds: float = 30.0, status: int = 1) -> str:
    assert service.process.wait(seconds) == status
    service.stop()
    assert "Traceback" not in service.output
    assert service.survivors() == []
    return service.output


def test_a_checkpoint_of_another_task_than_the_settings_say_is_refused(registry: str, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("models: {mine: {task: translate, checkpoint: classifier}}\n")
    output = refused(Service("--registry", registry, "--config", str(settings)))
    assert "mine: the settings say task translate, but classifier is made to classify" in output


def test_a_misspelt_variable_and_a_secret_that_is_too_short(registry: str) -> None:
    output = refused(Service("--registry", registry, environment={"TRIPTYCH_PROT": "3"}), status=2)
    assert "TRIPTYCH_PROT names no setting: did you mean TRIPTYCH_PORT?" in output
    output = refused(
        Service("--registry", registry, environment={"TRIPTYCH_GATEWAY__ADMIN_TOKEN": "hunter2"}), status=2
    )
    assert "admin_token" in output
    assert "hunter2" not in output


def test_a_cluster_that_cannot_be_reached(registry: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    began = time.monotonic()
    output = refused(Service("--registry", registry, "--address", address))
    assert f"no Ray cluster can be reached at {address}" in output
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_a_start_that_takes_too_long_ends(registry: str) -> None:
    output = refused(Service("--registry", registry, environment={"TRIPTYCH_START_TIMEOUT_S": "2"}))
    assert "the service was not ready within 2 s: the models are still being loaded" in output


@pytest.mark.slow
def test_nothing_is_left_in_the_folder_for_temporary_files(registry: str) -> None:
    folder = Path("/tmp") / f"t{os.getpid()}"
    folder.mkdir()
    service = Service("--registry", registry, environment={"TMPDIR": str(folder)}).wait_until_ready()
    try:
        (own,) = folder.iterdir()
        assert (own / "session_latest").exists()
    finally:
        service.stop()
    assert list(folder.iterdir()) == []
    folder.rmdir()
