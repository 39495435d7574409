from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from service.errors import InputTooLong, ServiceError
from tests.service.gateway.conftest import Stand
from tests.service.gateway.fakes import FakeWorker
from tests.waiting import eventually


def events_of(text: str) -> list[tuple[str, dict]]:
    """(event name, data) of each server-sent event."""
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(":", 1) for line in block.split("\n"))
        events.append((fields.get("event", "message"), json.loads(fields["data"])))
    return events


def let_all_come_at_once(worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from one whose event loop was busy: acceptance, tokens and result are one group."""
    original = worker._answer

    async def answer(request, queue):
        inner = asyncio.Queue()
        await original(request, inner)
        queue.put_nowait([event for _ in range(inner.qsize()) for event in inner.get_nowait()])

    monkeypatch.setattr(worker, "_answer", answer)


async def test_a_stream_has_text_generation_inferences_shape(client):
    response = await client.post("/generate", json={"inputs": "a b", "parameters": {"seed": 3}, "stream": True})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert "content-length" not in response.headers
    assert response.headers["x-model-version"] == "generator@1"
    assert [data for _, data in events_of(response.text)] == [
        {
            "index": 1,
            "token": {"id": 10, "text": "A", "logprob": -0.5, "special": False},
            "generated_text": None,
            "details": None,
        },
        {
            "index": 2,
            "token": {"id": 11, "text": " B", "logprob": -0.5, "special": False},
            "generated_text": "A B",
            "details": {"finish_reason": "eos_token", "generated_tokens": 2, "seed": 3, "input_length": 3},
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            "timings": {"queue_ms": 1.25, "inference_ms": 3.5},
        },
    ]


async def test_a_translation_streams_too(client):
    body = {"inputs": ["a b"], "parameters": {"src_lang": "ko"}, "stream": True}
    events = events_of((await client.post("/translate", json=body)).text)
    assert events[-1][1]["generated_text"] == "A B"


async def test_a_text_whose_end_comes_alone_gets_an_event_that_adds_nothing(stand, client, monkeypatch):
    original = stand.generator._answer

    async def answer(request, queue):
        inner = asyncio.Queue()
        await original(request, inner)
        while not inner.empty():
            for event in inner.get_nowait():
                queue.put_nowait([event])

    monkeypatch.setattr(stand.generator, "_answer", answer)
    response = await client.post("/generate", json={"inputs": "a b", "stream": True})
    events = [data for _, data in events_of(response.text)]
    assert [event["index"] for event in events] == [1, 2, 3]
    assert "".join(event["token"]["text"] for event in events) == events[-1]["generated_text"] == "A B"


async def test_a_text_that_comes_all_at_once_keeps_its_last_token(stand, client, monkeypatch):
    let_all_come_at_once(stand.generator, monkeypatch)
    for text in ("a b", "a"):
        response = await client.post("/generate", json={"inputs": text, "stream": True})
        events = [data for _, data in events_of(response.text)]
        assert [event["token"]["text"] for event in events] == ["A", " B"][: len(events)]
        assert "".join(event["token"]["text"] for event in events) == events[-1]["generated_text"] == text.upper()


async def test_a_refusal_before_the_worker_accepts_is_a_plain_http_error(stand, client):
    stand.generator.refusing = {"a": InputTooLong("81 tokens, the limit is 64")}
    response = await client.post("/generate", json={"inputs": "a", "stream": True})
    assert (response.status_code, response.headers["content-type"]) == (422, "application/json")
    assert response.json()["error"]["code"] == "input_too_long"


async def test_an_error_after_the_worker_accepted_is_an_error_event(stand, client):
    stand.generator.failing = {"a": ServiceError("the model fell over")}
    response = await client.post("/generate", json={"inputs": "a", "stream": True})
    assert response.status_code == 200
    ((name, last),) = events_of(response.text)
    assert (name, last["error"]["code"]) == ("error", "internal")
    assert stand.sample("triptych_http_errors_total", route="/generate", code="internal") == 1


async def test_an_error_after_the_first_token_is_an_error_event(stand, client):
    stand.generator.failing_after_first = {"a b": ServiceError("the model fell over")}
    response = await client.post("/generate", json={"inputs": "a b", "stream": True})
    assert response.status_code == 200
    (_, first), (name, last) = events_of(response.text)
    assert first["token"]["text"] == "A"
    assert name == "error"
    assert last["error"]["code"] == "internal"
    assert last["error"]["request_id"] == response.headers["x-request-id"]


async def test_a_deadline_that_passes_within_a_stream_is_an_error_event_and_cancels(stand, client):
    stand.generator.holding_after_first = {"a b"}
    headers = {"x-request-timeout-ms": "60"}
    response = await client.post("/generate", json={"inputs": "a b", "stream": True}, headers=headers)
    name, last = events_of(response.text)[-1]
    assert (name, last["error"]["code"]) == ("error", "deadline_exceeded")
    await eventually(lambda: stand.generator.running == 0)


async def test_an_unexpected_exception_within_a_stream_is_an_error_event_without_its_words(stand, client, monkeypatch):
    monkeypatch.setattr("service.gateway.huggingface.streams.last_event", lambda *_: 1 / 0)
    response = await client.post("/generate", json={"inputs": "a b", "stream": True})
    name, last = events_of(response.text)[-1]
    assert (name, last["error"]["code"]) == ("error", "internal")
    assert "division" not in response.text


async def test_a_stream_that_waits_has_its_headers_at_once_and_a_comment_now_and_then(stand, monkeypatch):
    monkeypatch.setattr("service.gateway.streaming.COMMENT_EVERY_S", 0.05)
    stand.generator.holding = {"a b"}
    with stand.server() as url:
        async with (
            httpx.AsyncClient(base_url=url, timeout=20) as client,
            client.stream("POST", "/generate", json={"inputs": "a b", "stream": True}) as response,
        ):
            assert (response.status_code, response.headers["x-model-version"]) == (200, "generator@1")
            lines = response.aiter_lines()
            assert [await anext(lines) for _ in range(4)] == [":", "", ":", ""]
            assert stand.sample("triptych_http_time_to_first_token_seconds_count", route="/generate") == 0
            stand.generator.release()
            rest = [line async for line in lines if line.startswith("data:")]
    assert json.loads(rest[-1].removeprefix("data:"))["generated_text"] == "A B"


async def test_the_time_to_the_first_token_is_counted(stand, client):
    await client.post("/generate", json={"inputs": "a b", "stream": True})
    assert stand.sample("triptych_http_time_to_first_token_seconds_count", route="/generate") == 1


async def test_a_cancelled_handler_cancels_the_worker_and_is_counted(stand, client):
    stand.generator.holding_after_first = {"a b"}
    asking = asyncio.create_task(client.post("/generate", json={"inputs": "a b", "stream": True}))
    await eventually(lambda: stand.generator.running)
    asking.cancel()
    await eventually(lambda: stand.generator.running == 0)
    assert stand.sample("triptych_http_cancelled_total", route="/generate") == 1
    assert stand.sample("triptych_http_requests_in_flight", route="/generate") == 0


async def test_a_client_that_left_while_everything_came_at_once_is_counted_as_such(stand, monkeypatch):
    """As a server sees it that was busy: it hears of the leaving and has the whole answer in one turn of its loop."""
    let_all_come_at_once(stand.generator, monkeypatch)
    gone = asyncio.Event()
    body = [{"type": "http.request", "body": b'{"inputs": "a b", "stream": true}', "more_body": False}]

    async def receive():
        if body:
            return body.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        gone.set()  # with the headers

    scope = {"type": "http", "method": "POST", "path": "/generate", "headers": [], "query_string": b""}
    async with stand.client():
        await stand.app(scope, receive, send)
    assert stand.sample("triptych_http_requests_total", route="/generate", status="200") == 0
    assert stand.sample("triptych_http_requests_total", route="/generate", status="499") == 1


class SlowClient:
    """Speaks ASGI to a gateway and takes no more than it is let."""

    def __init__(self, body: dict) -> None:
        self._body: bytes | None = json.dumps(body).encode()
        self.takes = asyncio.Event()
        self.received = b""

    async def receive(self) -> dict:
        if self._body is None:
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: dict) -> None:
        self.received += message.get("body", b"")
        if message["type"] == "http.response.body" and message.get("more_body"):
            await self.takes.wait()

    async def ask(self, app, path: str) -> None:
        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        await app(scope, self.receive, self.send)


async def test_a_client_that_does_not_read_is_given_up_and_told_why():
    stand = Stand({"stream_buffer": 8})
    async with stand.client():
        slow = SlowClient({"inputs": " ".join("abcdefghijklmnopqrstuvwxyz"), "stream": True})
        asking = asyncio.create_task(slow.ask(stand.app, "/generate"))
        await eventually(lambda: stand.generator.cancelled or stand.generator.closed)
        assert not asking.done()
        slow.takes.set()
        await asking
    *_, (name, data) = events_of(slow.received.decode())
    assert name == "error"
    assert data["error"]["code"] == "slow_reader"
    assert data["error"]["message"] == "9 events wait for the client to read them, the limit is 8"
    assert stand.sample("triptych_http_errors_total", route="/generate", code="slow_reader") == 1


async def test_a_client_that_reads_slowly_but_keeps_up_gets_everything():
    stand = Stand({"stream_buffer": 30})
    async with stand.client():
        slow = SlowClient({"inputs": " ".join("abcdefghijklmnopqrstuvwxyz"), "stream": True})
        asking = asyncio.create_task(slow.ask(stand.app, "/generate"))
        await eventually(lambda: stand.generator.answered)
        slow.takes.set()
        await asking
    events = events_of(slow.received.decode())
    assert events[-1][1]["generated_text"] == " ".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert [data["index"] for _, data in events] == [*range(1, 27)]


async def test_what_comes_all_at_once_is_no_slowness(monkeypatch):
    stand = Stand({"stream_buffer": 2})
    let_all_come_at_once(stand.generator, monkeypatch)
    async with stand.client() as client:
        response = await client.post("/generate", json={"inputs": "a b c d e f", "stream": True})
        assert events_of(response.text)[-1][1]["generated_text"] == "A B C D E F"
