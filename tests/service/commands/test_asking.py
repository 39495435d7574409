"""Who answers where nobody is named: the service of this machine, or a model that is loaded into the process.

Real processes with tiny checkpoints: pipes, Ctrl-C and closed pipes are the system's.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from models.checkpoint import load
from service.cli import app
from service.messages import Decoding, GenerateRequest
from service.options import EngineOptions
from service.worker.text_engine import TextEngine
from tests import checkpoints
from tests.service.gateway.conftest import Stand
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 300


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(checkpoints.registry(tmp_path_factory.mktemp("tiny"), context=4096))


@pytest.fixture
def free_port(monkeypatch: pytest.MonkeyPatch) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("TRIPTYCH_PORT", str(port))
    return port


@pytest.fixture
def nobody(free_port: int, registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No service runs, and the checkpoints are tiny ones."""
    monkeypatch.setenv("TRIPTYCH_REGISTRY", registry)


def start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "service", *map(str, arguments)]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # Who is started in the background by a shell ignores Ctrl-C.
    return subprocess.Popen(command, env=environment, preexec_fn=_hear_ctrl_c, **options)


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def answer_here(registry: str, text: str, decoding: Decoding) -> str:
    engine = TextEngine("generator", load(Path(registry) / "generator" / "1"), EngineOptions())
    try:
        event = asyncio.run(engine.answer(GenerateRequest(id="1", text=text, decoding=decoding)))
    finally:
        engine.close()
    return event.text  # type: ignore[attr-defined]


@pytest.mark.usefixtures("nobody")
def test_without_a_service_the_model_answers_in_the_process_without_ray(registry: str) -> None:
    program = (
        "import sys; from service.cli import app; "
        "app(['generate', '배우', '--max-new-tokens', '12'], standalone_mode=False); print('ray' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, timeout=SECONDS, check=True
    )
    expected = answer_here(registry, "배우", Decoding(max_new_tokens=12))
    assert done.stdout.decode() == f"{expected}\nFalse\n"
    assert done.stderr == b""


@pytest.mark.usefixtures("nobody")
def test_a_pipe_is_answered_in_the_process() -> None:
    running = start("translate", "--from", "fr", "--to", "en", stdin=subprocess.PIPE)
    out, err = running.communicate("Je suis fatigué.\n\nOù est la gare ?\n".encode(), timeout=SECONDS)
    assert (running.returncode, b"Traceback" in err) == (0, False), err  # it may say that a translation was cut
    assert len(out.decode().split("\n")) == 4
    assert out.decode().split("\n")[1] == ""


@pytest.mark.usefixtures("nobody")
def test_files_are_translated_in_the_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.md").write_text("# Je suis fatigué.\n")
    done = invoke("translate", "a.md", "--pair", "fr-en")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.en.md").read_text().startswith("# ")


@pytest.mark.usefixtures("nobody")
def test_json_in_the_process_is_that_of_the_route(registry: str) -> None:
    done = invoke("classify", "정말 재미있는 영화였어요", "돈이 아깝다", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert [{each["label"] for each in scores} for scores in answer] == [{"negative", "positive"}] * 2
    assert all(abs(sum(each["score"] for each in scores) - 1) < 1e-6 for scores in answer)


@pytest.mark.usefixtures("nobody")
def test_a_model_may_be_a_checkpoint_directory_or_a_version(registry: str) -> None:
    directory = Path(registry) / "classifier" / "1"
    by_directory = invoke("classify", "돈이 아깝다", "--model", directory)
    assert by_directory.exit_code == 0, by_directory.output
    assert invoke("classify", "돈이 아깝다", "--model", "classifier@1").stdout == by_directory.stdout
    assert invoke("classify", "돈이 아깝다").stdout == by_directory.stdout
    assert invoke("classify", "돈이 아깝다", "--model", "classifier").stdout == by_directory.stdout


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("classify", "x", "--model", "nobody@3"), "no model 'nobody@3': "),
        (("classify", "x", "--model", "generator"), "generator is made to generate, not to classify"),
        (("classify", "x", "--registry", "nowhere"), "nowhere has nothing"),
        (("generate", "x", "--max-new-tokens", "99999"), "--max-new-tokens is 99999, the model's limit is"),
        (("generate", "x", "--local", "--url", "http://127.0.0.1:1"), "--local is for a model in this process"),
        (("translate", "x", "--pair", "de-en"), "no translation for de-en; available: fr-en, en-fr, ko-en"),
    ],
)
def test_what_cannot_be_asked_in_the_process_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_settings_that_cannot_be_used_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_PORT", "x")
    done = invoke("classify", "x")
    assert (done.exit_code, "the settings cannot be used: port is 'x'" in done.stderr) == (2, True)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, registry: str) -> Iterator[Stand]:
    """One that runs on this machine, where it is looked for."""
    stand = Stand()
    with stand.server() as url:
        monkeypatch.setenv("TRIPTYCH_PORT", str(urlsplit(url).port))
        monkeypatch.setenv("TRIPTYCH_REGISTRY", registry)
        yield stand


def test_a_service_of_this_machine_is_asked_before_a_model_is_loaded(service: Stand) -> None:
    assert invoke("generate", "once upon").stdout == "ONCE UPON\n"
    assert len(service.generator.seen) == 1


def test_a_service_is_not_asked_where_the_model_is_to_be_loaded(service: Stand, registry: str) -> None:
    for options in (("--local",), ("--model", "generator@1"), ("--registry", registry)):
        done = invoke("generate", "배우", "--max-new-tokens", 3, *options)
        assert done.exit_code == 0, done.output
    assert service.generator.seen == []


def test_a_service_that_asks_for_a_key_is_not_passed_over(
    tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = invoke("key", "me", "--file", tmp_path / "keys.yaml").stdout.strip()
    stand = Stand({"keys": tmp_path / "keys.yaml"})
    with stand.server() as url:
        monkeypatch.setenv("TRIPTYCH_PORT", str(urlsplit(url).port))
        without, given = invoke("generate", "once upon"), invoke("generate", "once upon", "--key", made)
    assert (without.exit_code, without.stdout, "key" in without.stderr) == (2, "", True)
    assert (given.exit_code, given.stdout) == (0, "ONCE UPON\n")


def test_who_is_no_service_is_not_taken_for_one(free_port: int, registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_REGISTRY", registry)
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(free_port), "--bind", "127.0.0.1", "--directory", registry],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", free_port)) and time.monotonic() < until:
            time.sleep(0.05)
        assert invoke("classify", "돈이 아깝다").exit_code == 0
    finally:
        other.kill()
        other.wait()


@pytest.mark.usefixtures("nobody")
def test_ctrl_c_ends_what_is_generated_quietly() -> None:
    running = start("generate", "배우", "--max-new-tokens", 4000, "--min-new-tokens", 4000)
    assert running.stdout is not None
    first = os.read(running.stdout.fileno(), 1)  # it is being generated, and comes before its end
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=20)
    assert first
    assert (running.returncode, err) == (130, b"")


@pytest.mark.usefixtures("nobody")
def test_ctrl_c_while_the_model_is_loaded_is_quiet_too() -> None:
    running = start("classify", "돈이 아깝다")
    maps = Path(f"/proc/{running.pid}/maps")
    wait_for(lambda: running.poll() is not None or "libtorch" in maps.read_text(), seconds=SECONDS)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, b"")


@pytest.mark.usefixtures("nobody")
def test_a_closed_pipe_gives_no_traceback() -> None:
    running = start("generate", "배우", "--max-new-tokens", 4000, "--min-new-tokens", 4000)
    assert running.stdout is not None
    assert running.stderr is not None
    os.read(running.stdout.fileno(), 1)
    running.stdout.close()
    assert running.wait(60) == 1
    assert running.stderr.read() == b""


def test_a_closed_pipe_gives_no_traceback_where_a_service_answers(service: Stand) -> None:
    for arguments in (("classify", *(["x"] * 200)), ("registry", "list"), ("--help",)):
        read, write = os.pipe()
        running = start(*arguments, stdout=write)
        os.close(write)
        os.close(read)
        _, err = running.communicate(timeout=SECONDS)
        assert (running.returncode, b"Traceback" in err, b"Exception ignored" in err) == (1, False, False), err
