"""`triptych serve`: what a newcomer sees from the start of the service to its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape

from service.config import Settings

READY_TIMEOUT_S = 60.0

EXAMPLES = {
    "translate": '{"inputs": "Je suis fatigué.", "parameters": {"src_lang": "fr", "tgt_lang": "en"}}',
    "generate": '{"inputs": "<rating:9>", "parameters": {"temperature": 0.7, "top_p": 0.9, "seed": 7}, "stream": true}',
    "classify": '{"inputs": "정말 재미있는 영화였어요"}',
}


def run(settings: Settings, address: str | None, console: Console) -> int:
    """Serve until a signal comes. Returns the exit status: 0 after a signal, 1 when the service did not come up."""
    if settings.log_json is None:
        settings = settings.model_copy(update={"log_json": not console.is_terminal})
    stopping = threading.Event()
    began = time.monotonic()
    if address is None and "://" in settings.registry:
        console.print(f"Reading {settings.registry}", soft_wrap=True)
    # Not on a cluster: it reads its own disks, and its Serve may well listen on the port already.
    if address is None and (reason := port_taken(settings.host, settings.port) or checkpoint_missing(settings)):
        _failed(console, reason)
        return 1
    with ExitStack() as stack:
        if address is None:
            from service.deployments.fastpath import environment

            directory = tempfile.mkdtemp(prefix="triptych-")
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            os.environ.update(environment(directory))
        console.print("Starting Ray" if address is None else f"Joining the Ray cluster at {address}")
        from service.deployments import lifecycle

        stack.enter_context(lifecycle.ray_connection(address, settings))
        _on_signals(stopping)
        try:
            _start(lifecycle, settings, console)
            info = _wait_until_ready(settings, stopping)
        except (lifecycle.StartError, TimeoutError) as error:
            _failed(console, str(error))
            lifecycle.stop(local=address is None)
            return 1
        if info is not None:
            _announce(settings, info, time.monotonic() - began, console)
        stopping.wait()
        console.print("Stopping: finishing what is running")
        lifecycle.stop(local=address is None)
    console.print("Stopped")
    return 0


def _failed(console: Console, reason: str) -> None:
    console.print(f"[red]triptych:[/red] {escape(reason)}", soft_wrap=True)


def port_taken(host: str, port: int) -> str | None:
    """Why the port cannot be listened on, if so."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            another = f"triptych serve --port {port + 1}"
            return f"cannot listen on {host}:{port}: {error.strerror}. Choose another port: {another}"
    return None


def checkpoint_missing(settings: Settings) -> str | None:
    """Which model has no checkpoint to serve, if so: known, and downloaded, before anything is started."""
    from models.checkpoint import PRETRAIN, CheckpointError, read_manifest
    from models.registry import Registry, RegistryError

    for name, model in settings.models.items():
        try:
            manifest = read_manifest(Registry(settings.registry).resolve(model.checkpoint))
        except (RegistryError, CheckpointError) as error:
            return f"{name}: {error}"
        if manifest.task == PRETRAIN:
            return (
                f"{name}: {model.checkpoint} is a pre-trained encoder, which answers no requests: fine-tune it with a "
                f"recipe of the task classify that has start: {manifest.name}, and serve what comes of it"
            )
    return None


def _start(lifecycle: Any, settings: Settings, console: Console) -> None:
    models = ", ".join(f"{name} ({model.checkpoint})" for name, model in settings.models.items())
    console.print(f"Loading {models}")
    with console.status("Loading") as status:
        lifecycle.start(settings, lambda pending: status.update(f"Loading: waiting for {pending or 'Ray Serve'}"))


def _wait_until_ready(settings: Settings, stopping: threading.Event) -> dict[str, Any] | None:
    """`/info` once `/readyz` is true; None when a signal came first. Raises TimeoutError."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    answer: Any = ""
    while time.monotonic() < deadline and not stopping.is_set():
        status, answer = ask(f"{local_url(settings)}/readyz")
        if status == 200:
            return ask(f"{local_url(settings)}/info")[1]
        stopping.wait(0.1)
    if stopping.is_set():
        return None
    raise TimeoutError(f"the service was not ready within {READY_TIMEOUT_S:.0f} s: {answer}")


def local_url(settings: Settings) -> str:
    """Where the service answers on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def ask(
    url: str, body: Any = None, *, headers: Mapping[str, str] | None = None, timeout_s: float = 15
) -> tuple[int, Any]:
    """Status and JSON of an answer, as text where it is none; 0 and the reason where nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this is no traffic for a proxy
    try:
        with direct.open(request, timeout=timeout_s) as response:
            status, text = response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def _announce(settings: Settings, info: dict[str, Any], seconds: float, console: Console) -> None:
    url = local_url(settings)
    for model in info["models"]:
        size = f"{model['parameters'] / 1e6:.1f} M parameters"
        console.print(
            f"  {model['name']:12} {model['version']:14} {size}, {model['precision']} on {model['device']}, "
            f"{model['slots']} slots, key/value cache {model['kv_cache_bytes'] / 2**20:.1f} MiB",
            soft_wrap=True,
        )
    console.print(f"\n[bold green]Ready[/bold green] after {seconds:.0f} s: [bold]{url}[/bold]  (try {url}/docs)\n")
    for task in dict.fromkeys(model["task"] for model in info["models"]):
        stream = "-N " if '"stream": true' in EXAMPLES[task] else ""
        console.print(
            f"curl {stream}{url}/{task} -H 'content-type: application/json' -d '{EXAMPLES[task]}'",
            markup=False,
            soft_wrap=True,
        )
    console.print("\nCtrl-C stops it.")


def _on_signals(stopping: threading.Event) -> None:
    """After Ray's start, which sets handlers of its own. A second signal ends the process at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
