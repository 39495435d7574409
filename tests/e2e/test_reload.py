"""New weights in a running service, by command, while clients ask."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from models.registry import Registry
from tests import checkpoints
from tests.e2e.service import Service

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reload")
    checkpoints.registry(root)
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Service]:
    environment = {"TRIPTYCH_GATEWAY__ADMIN_TOKEN": TOKEN}
    running = Service("--registry", str(root / "registry"), environment=environment).wait_until_ready()
    yield running
    running.stop()


def reload(service: Service, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("triptych")), "reload", *arguments]
    return subprocess.run(
        [*command, "--url", service.url, "--token", token], capture_output=True, text=True, timeout=60, check=False
    )


class Clients:
    """Ask until they are told to stop; `answers` has the status and version of each answer."""

    def __init__(self, url: str, count: int = 6) -> None:
        self.answers: list[tuple[int, str]] = []
        self._url, self._stop = url, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        body = {"inputs": "배우", "parameters": {"max_new_tokens": 30}, "stream": number % 2 == 0}
        with httpx.Client(timeout=60) as client:
            while not self._stop.is_set():
                answer = client.post(f"{self._url}/generate", json=body)
                if body["stream"]:
                    last = json.loads(answer.text.strip().rpartition("data:")[2])
                    assert last["generated_text"]
                self.answers.append((answer.status_code, answer.headers["x-model-version"]))


def test_a_new_version_is_taken_under_load_and_a_damaged_one_is_not(served: Service, root: Path) -> None:
    assert re.search(r"generator +generator@1 .* slots, key/value cache \d+\.\d MiB", served.output)
    Registry(root / "registry").publish("generator", root / "generator")
    with Clients(served.url) as clients:
        taken = reload(served, "generator")
        assert (taken.returncode, taken.stdout) == (0, "generator: generator@2 (before: generator@1)\n"), taken
        Registry(root / "registry").publish("generator", root / "generator")
        with (root / "registry/generator/3/model.safetensors").open("ab") as weights:
            weights.write(b"x")
        refused = reload(served, "generator", "--checkpoint", "generator@3")
        assert refused.returncode == 2
        assert "goes on with generator@2" in refused.stderr.replace("\n", " ")
        assert "the file was changed" in refused.stderr.replace("\n", " ")
    assert {status for status, _ in clients.answers} == {200}
    assert {version for _, version in clients.answers} == {"generator@1", "generator@2"}
    models = {model["name"]: model for model in httpx.get(f"{served.url}/info").json()["models"]}
    assert models["generator"]["version"] == "generator@2"
    assert models["generator"]["kv_cache_bytes"] > 0
    metrics = httpx.get(f"{served.url}/metrics").text
    assert re.search(r'triptych_model_info{[^}]*version="generator@2"[^}]*} 1\.0', metrics)
    assert not re.search(r'triptych_model_info{[^}]*version="generator@1"', metrics)
    for outcome in ("success", "failure"):
        counted = re.search(rf'triptych_reloads_total{{[^}}]*generator[^}}]*outcome="{outcome}"[^}}]*}} (\S+)', metrics)
        assert counted is not None
        assert counted[1] == "1.0", outcome


def test_the_command_says_plainly_what_is_wrong(served: Service) -> None:
    for arguments, token, said in (
        (("translator",), "wrong-wrong-wrong-wrong", "this needs the header authorization: Bearer TOKEN"),
        (("nobody",), TOKEN, "no model 'nobody'; available: translator, generator, classifier, encoder"),
        (("--checkpoint", "generator@1"), TOKEN, "triptych reload MODEL --checkpoint"),
        (("translator", "--checkpoint", "/etc"), TOKEN, 'checkpoint is "/etc"'),
    ):
        done = reload(served, *arguments, token=token)
        assert done.returncode == 2
        assert said in done.stderr.replace("\n", " ")
        assert "Traceback" not in done.stdout + done.stderr


def test_a_cache_that_does_not_fit_is_said_plainly(tmp_path: Path) -> None:
    environment = {"TRIPTYCH_MODELS__GENERATOR__SLOTS": "1000000000"}
    service = Service("--registry", str(checkpoints.registry(tmp_path)), environment=environment)
    assert service.process.wait(60) == 1
    service.stop()
    assert re.search(r"generator: .*the key/value cache of 1000000000 slots .* needs \d+\.\d MiB", service.output)
    assert re.search(r"\d+\.\d MiB are available on \w+", service.output)
    assert "Traceback" not in service.output
