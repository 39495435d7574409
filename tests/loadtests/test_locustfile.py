"""Locust patches the whole process when it is imported: everything here runs it in one of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import Overloaded
from service.gateway.huggingface.tasks import TASKS
from service.gateway.parsing import parse_body
from service.gateway.traffic import Envelope
from service.messages import FINISH_REASONS
from tests.service.gateway.conftest import Stand
from tests.service.gateway.fakes import PAIRS, model_info

ROOT = Path(__file__).resolve().parents[2]
LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="locust is not installed: pip install 'triptych[bench]'"
)


def in_locustfile(code: str) -> object:
    """What `code`, with the locustfile's names, prints as JSON."""
    script = f"import sys, json; sys.path.insert(0, {str(LOCUSTFILE.parent)!r}); from locustfile import *\n{code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def drive(url: str, *arguments: str) -> tuple[subprocess.CompletedProcess, dict[tuple[str, str], dict]]:
    """A headless run without pauses, and its rows by (method, name)."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", url, *arguments]
    command += ["--think-time", "0", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done, {(row["method"], row["name"]): row for row in json.loads(done.stdout)}


def test_the_gateway_accepts_every_body_the_users_can_send() -> None:
    bodies = in_locustfile(
        f"pairs = {PAIRS!r}\n"
        "print(json.dumps({"
        "'translate': [translation(t, s, g, stream=f) for s, g in pairs for t in TEXTS[s] for f in (True, False)]"
        " + [translation(list(TEXTS[s]), s, g) for s, g in pairs]"
        " + [beam_search(t, s, g, 4) for s, g in pairs for t in TEXTS[s]],"
        "'generate': [generation(p, 2**31 - 1, 10, stream=f) for p in PROMPTS for f in (True, False)]"
        " + [generation(p, 2**31 - 1, 10, results=3) for p in PROMPTS],"
        "'classify': [classification(t) for t in (*REVIEWS, list(REVIEWS))],"
        "'embed': [comparison(t, list(REVIEWS)) for t in REVIEWS]}))"
    )
    assert isinstance(bodies, dict)
    assert bodies.keys() == TASKS.keys()
    for task, all_sent in bodies.items():
        assert len(all_sent) > 10
        for sent in all_sent:
            body = parse_body(json.dumps(sent).encode(), TASKS[task])
            body.check(256)
            made = body.requests(model_info("m", task), Envelope("test", 60.0))
            inputs = sent["inputs"]
            texts = [inputs["source_sentence"], *inputs["sentences"]] if isinstance(inputs, dict) else inputs
            assert len(made) == (len(texts) if isinstance(texts, list) else 1)


def test_the_users_know_the_reasons_that_streams_end_for() -> None:
    assert in_locustfile("print(json.dumps(FINISH_REASONS))") == list(FINISH_REASONS)


def test_a_run_drives_every_kind_of_request_and_times_the_first_token_of_streams() -> None:
    with Stand().server() as url:
        done, rows = drive(url, "-u", "10", "-r", "10", "-t", "2s")

    assert done.returncode == 0, done.stdout + done.stderr
    asked = {("POST", f"/{task}{kind}") for task in ("translate", "classify") for kind in ("", " [list]")}
    asked |= {
        ("POST", "/embed"),
        ("POST", "/generate"),
        ("POST", "/generate [stream]"),
        ("POST", "/translate [stream]"),
    }
    asked |= {("POST", "/generate [samples]"), ("POST", "/translate [beams]")}
    timed = {("TTFT", "/generate [stream]"), ("TTFT", "/translate [stream]"), ("ITL", "/translate [stream]")}
    assert asked | timed <= rows.keys()
    stream = rows["POST", "/translate [stream]"]
    first = rows["TTFT", "/translate [stream]"]
    assert first["num_requests"] == stream["num_requests"] > 0
    assert 0 < first["total_response_time"] <= stream["total_response_time"]


def test_a_refusal_is_a_failure_with_its_status_and_code() -> None:
    stand = Stand()
    reviews = in_locustfile("print(json.dumps(REVIEWS))")
    assert isinstance(reviews, list)
    for text in reviews:
        stand.classifier.failing[text] = Overloaded("full", retry_after_s=1)
    with stand.server() as url:
        done, rows = drive(url, "-u", "2", "-r", "2", "-t", "1s", "Classifying")

    assert done.returncode == 1
    row = rows["POST", "/classify"]
    assert row["num_failures"] == row["num_requests"] > 0
    assert "503 overloaded" in done.stderr


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (
            "the tokens join to 'a', not 'b'",
            [
                "data:"
                + json.dumps(
                    {"index": 1, "token": {"text": "a"}, "generated_text": "b", "details": {"finish_reason": "length"}}
                )
            ],
        ),
        (
            "the stream ended after 1 events without a last one",
            ['data:{"index": 1, "token": {"text": "a"}, "generated_text": null, "details": null}'],
        ),
        (
            "the stream ended with internal: broken",
            ["event:error", 'data:{"error": {"code": "internal", "message": "broken"}}'],
        ),
    ],
    ids=["unequal texts", "no last event", "an error event"],
)
def test_a_stream_that_does_not_add_up_is_wrong_and_says_why(said: str, lines: list[str]) -> None:
    raised = in_locustfile(
        "check = StreamCheck()\ntry:\n"
        f"    [check.add(line.encode()) for line in {lines!r}]\n    check.close()\n    print(0)\n"
        "except ValueError as error:\n    print(json.dumps(str(error)))"
    )
    assert raised == said


def test_a_stream_may_have_comments() -> None:
    end = {"index": 1, "token": {"text": "a"}, "generated_text": "a", "details": {"finish_reason": "length"}}
    lines = [":", "", "data:" + json.dumps(end), ""]
    held = in_locustfile(
        f"check = StreamCheck()\nfound = [check.add(line.encode()) for line in {lines!r}]\n"
        "check.close()\nprint(json.dumps(found))"
    )
    assert held == [False, False, True, False]
