from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest
from rich.console import Console

from loadtests.bench import gateway


@pytest.fixture(scope="module")
def ports():
    with gateway.server("echo") as echo, gateway.server("gateway") as real:
        yield {"echo": echo, "gateway": real}


def test_both_servers_answer_what_is_sent_to_them(ports) -> None:
    headers = {"content-type": "application/json"}
    answers = {}
    for kind, port in ports.items():
        request = urllib.request.Request(f"http://127.0.0.1:{port}/classify", gateway.BODY, headers)
        with urllib.request.urlopen(request, timeout=20) as response:
            answers[kind] = json.load(response)
    assert answers["echo"] == json.loads(gateway.BODY)
    assert answers["gateway"] == [[{"label": "yes", "score": 0.75}, {"label": "no", "score": 0.25}]]


def test_every_connection_asks_until_the_time_is_over(ports) -> None:
    found = asyncio.run(gateway.load(ports["echo"], 3, 0.3))
    figures = found.figures()
    assert figures["errors"] == 0
    assert figures["requests_s"] == len(found.latencies) / 0.3 > 3
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]


def test_refusals_are_errors(ports, monkeypatch) -> None:
    monkeypatch.setattr(gateway, "REQUEST", gateway.REQUEST.replace(b"/classify", b"/nowhere"))
    found = asyncio.run(gateway.load(ports["gateway"], 2, 0.2))
    assert found.errors > 0
    assert not found.latencies


def test_the_figures_are_of_each_number_of_connections_and_each_server(monkeypatch) -> None:
    console = Console(record=True, width=120)
    found = gateway.run(connections=[1, 2], seconds=0.1, rounds=1, console=console)
    assert [(row["connections"], row["server"]) for row in found["rows"]] == [
        (count, kind) for count in (1, 2) for kind in gateway.SERVERS
    ]
    assert "of the echo" in console.export_text()
