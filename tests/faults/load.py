"""Clients that ask a service without a pause and keep a ledger of what came right, was refused, or was lost."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Any

import httpx

PATIENCE_S = 25.0  # a client that waits longer than this counts as hung
PROMPTS = ("배우", "<rating:9>", "시간", "돈이")


class Ledger:
    """How requests ended.

    `right`: 200 with exactly the expected text. `refused`: an error in the service's own shape, of a status that says
    "not now" (503, 504), or as the last event of a stream. `unreachable`: nobody listens. `broken`: the connection
    ended without an answer. `hung`: no answer within `PATIENCE_S`. `wrong`: anything else.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.slowest_s = 0.0
        self._lock = threading.Lock()

    def enter(self, outcome: str, seconds: float, what: object = "") -> None:
        with self._lock:
            self.counts[outcome] += 1
            self.examples.setdefault(outcome, str(what)[:300])
            self.slowest_s = max(self.slowest_s, seconds)

    def __getattr__(self, outcome: str) -> int:
        if outcome.startswith("_"):
            raise AttributeError(outcome)
        return self.counts[outcome]

    @property
    def sent(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        lost = {outcome: what for outcome, what in self.examples.items() if outcome not in ("right", "refused")}
        return f"sent {self.sent}: {dict(self.counts)}, slowest {self.slowest_s:.1f} s, {lost or ''}"


def body(number: int, tokens: int = 40) -> dict[str, Any]:
    prompt = PROMPTS[number % len(PROMPTS)]
    return {"inputs": prompt, "parameters": {"max_new_tokens": tokens}, "stream": number % 2 == 0}


def ask(client: httpx.Client, url: str, request: dict[str, Any], expected: str, ledger: Ledger) -> None:
    began = time.monotonic()
    try:
        answer = client.post(f"{url}/generate", json=request)
    except httpx.TimeoutException as error:
        return ledger.enter("hung", time.monotonic() - began, repr(error))
    except httpx.ConnectError as error:
        return ledger.enter("unreachable", time.monotonic() - began, repr(error))
    except httpx.HTTPError as error:
        return ledger.enter("broken", time.monotonic() - began, repr(error))
    outcome, what = judged(answer, expected, stream=request["stream"])
    ledger.enter(outcome, time.monotonic() - began, what)


def judged(answer: httpx.Response, expected: str, *, stream: bool) -> tuple[str, str]:
    """How a request ended that got an answer, and what that was."""
    if answer.status_code in (503, 504):
        shaped = answer.json()["error"].keys() >= {"code", "message", "request_id"}
        return "refused" if shaped else "wrong", answer.text
    if answer.status_code != 200:
        return "wrong", f"{answer.status_code} {answer.text}"
    text, error = _text(answer, stream=stream)
    if error is not None:
        return "refused", error
    return "right" if text == expected else "wrong", f"{text!r}, expected {expected!r}"


def _text(answer: httpx.Response, *, stream: bool) -> tuple[str | None, str | None]:
    """The generated text, and the error that a stream ended with."""
    if not stream:
        return answer.json()[0]["generated_text"], None
    events = [json.loads(line.removeprefix("data:")) for line in answer.text.split("\n") if line.startswith("data:")]
    if events and "error" in events[-1]:
        return None, str(events[-1])
    return (events[-1]["generated_text"] if events else None), None


def expected_texts(url: str, tokens: int = 40) -> dict[str, str]:
    """What each prompt is continued with while nobody else asks."""
    with httpx.Client(timeout=PATIENCE_S) as client:
        answers = {
            prompt: client.post(
                f"{url}/generate", json={"inputs": prompt, "parameters": {"max_new_tokens": tokens}}
            ).json()
            for prompt in PROMPTS
        }
    return {prompt: answer[0]["generated_text"] for prompt, answer in answers.items()}


class Clients:
    """So many clients that ask one request after the other while the block lasts."""

    def __init__(self, url: str, count: int = 8, tokens: int = 40) -> None:
        self.ledger = Ledger()
        self._url, self._tokens = url, tokens
        self._expected = expected_texts(url, tokens)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(count)]

    def __enter__(self) -> Ledger:
        for thread in self._threads:
            thread.start()
        while self.ledger.right < len(self._threads):
            assert not self.ledger.wrong, str(self.ledger)
            time.sleep(0.01)
        return self.ledger

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S + 5)
        print(self.ledger)

    def _ask(self, number: int) -> None:
        with httpx.Client(timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                request = body(number, self._tokens)
                ask(client, self._url, request, self._expected[request["inputs"]], self.ledger)
                number += len(PROMPTS) + 1
                time.sleep(0.1 if self.ledger.unreachable else 0.01)
