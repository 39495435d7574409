from __future__ import annotations

import asyncio
import contextvars
import logging
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.service.gateway.conftest import Stand
from tests.waiting import eventually, wait_for


async def test_each_request_is_logged_once_with_its_id(client, caplog):
    caplog.set_level(logging.INFO, "triptych")
    await client.post("/generate", json={"inputs": ["a", "b"]}, headers={"x-request-id": "mine"})
    await client.get("/livez")
    (record,) = caplog.records
    assert record.getMessage() == "POST /generate 200"
    assert (record.request_id, record.model, record.texts) == ("mine", "generator", 2)


async def test_requests_are_counted_by_a_bounded_set_of_routes(stand, client):
    await client.post("/generate", json={"inputs": "a"})
    for path in ("/a", "/b", "/generate/x"):
        await client.get(path)
    assert stand.sample("triptych_http_requests_total", route="/generate", status="200") == 1
    assert stand.sample("triptych_http_requests_total", route="other", status="404") == 3
    assert stand.sample("triptych_http_request_duration_seconds_count", route="other") == 3
    assert stand.sample("triptych_http_requests_in_flight", route="/generate") == 0
    assert stand.sample("triptych_batch_requests_count", model="generator") == 1


async def test_no_call_to_a_worker_is_made_for_the_client_whose_request_came_first(stand):
    """As Ray Serve tells whose a call is: by a context variable that is set around each request."""
    client_of = contextvars.ContextVar("client_of", default="nobody")
    seen: set[str] = set()
    for method in ("submit", "cancel", "describe", "canary"):
        original = getattr(stand.generator, method)

        def looking(*arguments, original=original):
            seen.add(client_of.get())
            return original(*arguments)

        setattr(stand.generator, method, looking)
    stand.generator.holding = {"a"}

    async def serve(scope, receive, send):
        client_of.set(dict(scope["headers"])[b"x-request-id"].decode())
        await stand.app(scope, receive, send)

    transport = httpx.ASGITransport(app=serve)
    async with stand.client(), httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:

        async def ask(name: str) -> httpx.Response:
            return await client.post("/generate", json={"inputs": "a"}, headers={"x-request-id": name})

        leaver, stayer = asyncio.create_task(ask("leaver")), asyncio.create_task(ask("stayer"))
        await eventually(lambda: stand.generator.seen)
        leaver.cancel()
        await eventually(lambda: stand.generator.cancelled)
        stand.generator.release()
        assert (await stayer).status_code == 200
        stand.generator.breaks = RuntimeError("a failure, after which the model is asked again")
        await ask("unlucky")
        await client.get("/readyz", headers={"x-request-id": "probe"})
    assert seen == {"nobody"}


def head_of_answer(url: str, head: bytes, seconds: float = 10) -> bytes:
    """What comes back for the head of a request whose body never comes; nothing where the service waits for it."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(head)
        try:
            return connection.recv(4096)
        except TimeoutError:
            return b""


POST = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n"


def test_what_is_certain_to_be_refused_is_refused_before_its_body_is_read():
    stand = Stand(served={"slots": 1, "max_waiting": 1})
    for worker in (stand.translator, stand.generator):
        worker.holding = {"a"}
    with stand.server() as url, ThreadPoolExecutor() as pool:
        parameters = {"src_lang": "fr", "tgt_lang": "en"}
        held = [
            pool.submit(httpx.post, f"{url}/translate", json={"inputs": ["a", "a"], "parameters": parameters}),
            pool.submit(httpx.post, f"{url}/generate", json={"inputs": ["a", "a"]}),
        ]
        wait_for(lambda: len(stand.translator.seen) + len(stand.generator.seen) == 4, seconds=20)
        answer = head_of_answer(url, POST % b"/translate")
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nretry-after: 10\r\n" in answer
        assert b"\r\nx-request-id: " in answer
        # The second generator has room, and only the body says which of them is meant.
        assert head_of_answer(url, POST % b"/generate", 0.3) == b""
        stand.translator.release()
        stand.generator.release()
        assert [each.result().status_code for each in held] == [200, 200]
    assert stand.sample("triptych_admission_refusals_total", reason="gateway") == 1
    assert stand.sample("triptych_http_errors_total", route="/translate", code="overloaded") == 1
    assert stand.sample("triptych_http_requests_total", route="/translate", status="503") == 1


async def test_a_connection_goes_on_after_a_refusal_that_left_its_body_unread():
    stand = Stand(served={"slots": 1, "max_waiting": 1})
    stand.classifier.holding = {"a"}
    with stand.server() as url:
        async with httpx.AsyncClient(base_url=url, timeout=20) as holding, httpx.AsyncClient(base_url=url) as client:
            asking = asyncio.create_task(holding.post("/classify", json={"inputs": ["a", "a"]}))
            await eventually(lambda: stand.classifier.seen)
            for _ in range(3):
                assert (await client.post("/classify", json={"inputs": "b" * 5000})).status_code == 503
            stand.classifier.release()
            await asking
            assert (await client.post("/classify", json={"inputs": "b" * 5000})).status_code == 200


async def test_what_clients_are_told_is_counted_by_route_and_code(stand, client):
    await client.post("/generate", json={"inputs": ""})
    await client.post("/generate", json={"inputs": "a", "model": "nobody"})
    await client.get("/generate")
    await client.get("/nowhere")
    for route, code in (
        ("/generate", "empty_input"),
        ("/generate", "unknown_model"),
        ("/generate", "method_not_allowed"),
        ("other", "not_found"),
    ):
        assert stand.sample("triptych_http_errors_total", route=route, code=code) == 1, code


def test_importing_the_gateway_loads_neither_torch_nor_ray_nor_the_engine():
    code = "import sys, service.gateway.app; print([m for m in ('torch', 'ray', 'service.engine') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_body_that_does_not_come_in_time_is_refused_with_what_came_and_the_connection_closed() -> None:
    stand = Stand({"request_timeout_s": 0.3})
    head = "POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    with stand.server() as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 5) as slow:
        slow.sendall(head.encode() + b'{"inputs"')
        received = b""
        while chunk := slow.recv(4096):
            received += chunk
    answer = received.decode()
    assert answer.startswith("HTTP/1.1 408 ")
    assert '"code":"request_timeout","message":"9 bytes of 100 of the body came within 0.3 s"' in answer
    assert stand.sample("triptych_http_requests_total", route="/generate", status="408") == 1


async def test_once_the_service_stops_connections_go_with_their_answer(stand, client):
    stand.generator.holding = {"a"}
    running = asyncio.create_task(client.post("/generate", json={"inputs": "a"}))
    await eventually(lambda: stand.generator.seen)
    assert "connection" not in (await client.get("/livez")).headers
    draining = asyncio.create_task(stand.app.state.admission.drain(5))
    await asyncio.sleep(0)
    refused = await client.post("/generate", json={"inputs": "b"})
    assert (refused.status_code, refused.headers["connection"]) == (503, "close")
    stand.generator.release()
    answer = await running
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert await draining == 0


async def test_operations_may_have_a_port_of_their_own():
    second = socket.create_server(("127.0.0.1", 0))
    port = second.getsockname()[1]
    stand = Stand({"operations_port": port, "admin_token": "a token that is long"})
    with second, stand.server(second) as url:
        internal = f"http://127.0.0.1:{port}"
        for path in ("/metrics", "/admin/reload"):
            response = httpx.post(f"{url}{path}")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
            assert response.json()["error"]["message"] == f"{path} is on a port of its own"
        assert "triptych_http_requests_total" in httpx.get(f"{internal}/metrics").text
        assert httpx.post(f"{internal}/admin/reload").status_code == 401
        for each in (url, internal):
            assert httpx.get(f"{each}/livez").status_code == 200
            assert httpx.get(f"{each}/nowhere").status_code == 404
        assert httpx.post(f"{url}/generate", json={"inputs": "a"}).status_code == 200
        response = httpx.post(
            f"{internal}/generate", json={"inputs": "a"}, headers={"host": url.removeprefix("http://")}
        )
        assert response.status_code == 404
        assert response.json()["error"]["message"] == "/generate is on another port than this one"
        assert httpx.post(internal, json={"inputs": "a"}).status_code == 404, "what generates is not there either"
        assert httpx.post(url, json={"inputs": "a"}).status_code == 200
