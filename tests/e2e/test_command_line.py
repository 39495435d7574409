"""`triptych serve DIR...` as a process, and the commands that ask it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from models.registry import Registry
from tests import checkpoints
from tests.e2e.service import Service

SECONDS = 120


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Of a run, a registry, and a settings file that has a third model and says more of one of the others."""
    folder = tmp_path_factory.mktemp("served")
    checkpoints.classifier(folder / "runs" / "reviews" / "checkpoint")
    checkpoints.translator(folder / "translator")
    checkpoints.generator(folder / "generator")
    Registry(folder / "registry").publish("writer", folder / "generator")
    models = {
        "classifier": {"slots": 7},
        "translator": {"task": "translate", "checkpoint": str(folder / "translator")},
    }
    (folder / "settings.yaml").write_text(json.dumps({"models": models}))
    served = [str(folder / "runs" / "reviews"), str(folder / "registry"), "--config", str(folder / "settings.yaml")]
    running = Service(*served, environment={"TRIPTYCH_STATE": str(folder / "state")}).wait_until_ready()
    yield running
    running.stop()


def ask(service: Service, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    triptych = str(Path(sys.executable).with_name("triptych"))
    environment = {**os.environ, "TRIPTYCH_PORT": str(service.port)}  # where a service of this machine is looked for
    return subprocess.run(
        [triptych, *arguments], input=stdin, env=environment, capture_output=True, text=True, timeout=SECONDS
    )


def test_what_directories_hold_is_told_and_served_beside_the_settings(service: Service) -> None:
    models = {each["name"]: each for each in httpx.get(f"{service.url}/info").json()["models"]}
    assert {name: each["task"] for name, each in models.items()} == {
        "classifier": "classify", "writer": "generate", "translator": "translate",
    }  # fmt: skip
    assert models["classifier"]["slots"] == 7
    assert re.search(r"Found classifier in .*/runs/reviews: to classify", service.output)
    assert re.search(r"Found writer in .*/registry: to generate", service.output)
    for said in (r"\d s  Ray has started", *(rf"\d s  {name} is loaded: .*, 0\.\d MB" for name in models)):
        assert re.search(said, service.output), said


def test_the_commands_ask_the_service_of_this_machine(service: Service) -> None:
    text, languages = "Je suis fatigué.", {"src_lang": "fr", "tgt_lang": "en"}
    answer = httpx.post(f"{service.url}/translate", json={"inputs": [text], "parameters": languages}).json()
    translated = ask(service, "translate", text, "--from", "fr", "--to", "en", "--json")
    assert (translated.returncode, translated.stderr, json.loads(translated.stdout)) == (0, "", answer)
    sampled = {"max_new_tokens": 8, "temperature": 0.8, "seed": 5}
    answer = httpx.post(f"{service.url}/generate", json={"inputs": "배우", "parameters": sampled}).json()
    generated = ask(service, "generate", "배우", "--max-new-tokens", "8", "--temperature", "0.8", "--seed", "5")
    assert (generated.returncode, generated.stderr) == (0, "")
    assert generated.stdout == f"{answer[0]['generated_text']}\n"
    classified = ask(service, "classify", "--top-k", "1", stdin="돈이 아깝다\n정말 재미있는 영화였어요\n")
    assert (classified.returncode, classified.stderr, len(classified.stdout.splitlines())) == (0, "", 2)


def test_files_and_pipes_are_translated_by_it(service: Service, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Je suis fatigué.\n")
    done = ask(service, "translate", str(tmp_path / "a.md"), "--pair", "fr-en")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.en.md").read_text().startswith("# ")
    assert ask(service, "translate", "--pair", "fr-en", stdin="Je suis fatigué.\n").returncode == 0


def test_two_models_of_one_name_are_refused_at_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        checkpoints.classifier(tmp_path / name)
    service = Service(str(tmp_path / "one"), str(tmp_path / "two"))
    assert service.process.wait(60) == 2
    service.stop()
    assert f"there is a model classifier in {tmp_path}/one and in {tmp_path}/two" in service.output
    assert "Traceback" not in service.output
