"""The reference clients and clients that leave, over a real server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time

import httpx
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError, TextGenerationError

from service.errors import ServiceError
from tests.service.gateway.conftest import Stand
from tests.waiting import eventually, wait_for


def test_inference_client_translates(server):
    client = InferenceClient(model=f"{server}/translate")
    answer = client.translation("Je suis fatigué.", src_lang="fr", tgt_lang="en")
    assert answer.translation_text == "JE SUIS FATIGUÉ."
    answer = client.translation("a", src_lang="fr", tgt_lang="en", generate_parameters={"max_new_tokens": 4})
    assert answer.translation_text == "A"


def test_inference_client_leaves_the_source_language_open(stand, server):
    client = InferenceClient(model=f"{server}/translate")
    answer = client.translation("저는 피곤합니다.", src_lang="auto", tgt_lang="en")
    assert answer.detected_language == {"language": "ko", "score": 1.0}
    assert stand.translator.seen[0].source_language == "ko"


def test_inference_client_detects_languages(server):
    client = InferenceClient(model=f"{server}/detect")
    ranking = client.text_classification("Je suis fatigué.")
    assert [element.label for element in ranking] == ["fr", "en", "ko"]
    assert ranking[0].score > 0.99
    assert [element.label for element in client.text_classification("I am tired.", top_k=1)] == ["en"]


def test_inference_client_generates(stand, server):
    client = InferenceClient(model=f"{server}/generate")
    assert client.text_generation("once upon", max_new_tokens=5) == "ONCE UPON"
    assert client.text_generation("once", return_full_text=True, do_sample=False, watermark=False) == "onceONCE"
    answer = client.text_generation("once upon", details=True, seed=4)
    assert answer.generated_text == "ONCE UPON"
    assert (answer.details.finish_reason, answer.details.seed) == ("eos_token", 4)
    assert [token.text for token in answer.details.tokens] == ["ONCE", " UPON"]


def test_inference_client_decodes_as_it_likes(stand, server):
    client = InferenceClient(model=f"{server}/generate")
    asked = {
        "stop": ["\n\n", " UPON"],
        "repetition_penalty": 1.2,
        "frequency_penalty": 0.5,
        "typical_p": 0.9,
        "top_n_tokens": 2,
        "top_k": 5,
        "top_p": 0.8,
        "temperature": 0.7,
        "seed": 3,
    }
    answer = client.text_generation("once there upon a", details=True, **asked)
    assert answer.generated_text == "ONCE THERE"
    assert answer.details.finish_reason == "stop_sequence"
    assert [[token["id"] for token in best] for best in answer.details.top_tokens] == [[10, 11], [11, 12]]
    decoding = stand.generator.seen[0].decoding
    assert decoding.stop == ("\n\n", " UPON")
    assert (decoding.repetition_penalty, decoding.frequency_penalty, decoding.typical_p) == (1.2, 0.5, 0.9)
    assert (decoding.top_n_tokens, decoding.do_sample) == (2, True)
    events = list(client.text_generation("once there upon a", stream=True, details=True, **asked))
    assert [[token.text for token in event.top_tokens] for event in events] == [["0", "1"], ["0", "1"]]
    assert events[-1].details.finish_reason == "stop_sequence"


def test_inference_client_translates_as_it_likes(stand, server):
    client = InferenceClient(model=f"{server}/translate")
    asked = {"repetition_penalty": 1.1, "stop": ["!"], "min_new_tokens": 2, "logit_bias": {"7": -3.5}}
    assert client.translation("a! b", src_lang="fr", tgt_lang="en", generate_parameters=asked).translation_text == "A"
    decoding = stand.translator.seen[0].decoding
    assert (decoding.repetition_penalty, decoding.min_new_tokens, decoding.logit_bias) == (1.1, 2, ((7, -3.5),))


def test_inference_client_takes_several_translations_for_the_best(stand, server):
    client = InferenceClient(model=f"{server}/translate")
    asked = {"num_beams": 4, "num_return_sequences": 2, "early_stopping": True, "return_alignment": True}
    answer = client.translation("a b", src_lang="fr", tgt_lang="en", generate_parameters=asked)
    assert (answer.translation_text, answer.score) == ("A B", -1.0)
    assert answer.alternatives == [{"translation_text": "A B!", "score": -2.0}]
    assert answer.alignment["target_tokens"] == ["A", " B"]
    decoding = stand.translator.seen[0].decoding
    assert (decoding.num_beams, decoding.num_return_sequences, decoding.early_stopping) == (4, 2, True)


def test_inference_client_streams(server):
    client = InferenceClient(model=f"{server}/generate")
    assert list(client.text_generation("once upon a", stream=True)) == ["ONCE", " UPON", " A"]
    events = list(client.text_generation("once upon a", stream=True, details=True))
    assert [event.index for event in events] == [1, 2, 3]
    assert events[-1].generated_text == "ONCE UPON A"
    assert events[-1].details.generated_tokens == 3


def test_inference_client_streams_characters_that_look_like_line_breaks(server):
    client = InferenceClient(model=f"{server}/generate")
    assert list(client.text_generation("a\u2028b c\x85d\n", stream=True)) == ["A\u2028B", " C\x85D\n"]


def test_inference_client_waits_through_comments(stand, server, monkeypatch):
    monkeypatch.setattr("service.gateway.streaming.COMMENT_EVERY_S", 0.02)
    for held in ("holding", "holding_after_first"):
        getattr(stand.generator, held).add("once upon a")
    client = InferenceClient(model=f"{server}/generate", timeout=20)
    threading.Timer(0.3, stand.generator.release).start()
    assert list(client.text_generation("once upon a", stream=True)) == ["ONCE", " UPON", " A"]
    with httpx.stream("POST", f"{server}/generate", json={"inputs": "once upon a", "stream": True}) as response:
        assert [line.partition(":")[0] for line in response.iter_lines() if line] == ["data"] * 3, "none are left"


async def test_async_inference_client_streams(server):
    client = AsyncInferenceClient(model=f"{server}/generate")
    assert [text async for text in await client.text_generation("a b", stream=True)] == ["A", " B"]


def test_inference_client_classifies(server):
    client = InferenceClient(model=f"{server}/classify")
    best = client.text_classification("fine", top_k=1, function_to_apply="softmax")
    assert [(element.label, element.score) for element in best] == [("good", 0.75)]
    assert len(client.text_classification("fine")) == 2


def test_inference_client_hears_of_errors(stand, server):
    with pytest.raises(HfHubHTTPError) as caught:
        InferenceClient(model=f"{server}/translate").translation("a", src_lang="de", tgt_lang="en")
    assert caught.value.response.status_code == 404
    client = InferenceClient(model=f"{server}/generate")
    with pytest.raises(HfHubHTTPError, match="not supported"):
        client.text_generation("a", best_of=2)
    stand.generator.failing_after_first = {"a b": ServiceError("fell over")}
    with pytest.raises(TextGenerationError, match="fell over"):
        list(client.text_generation("a b", stream=True))


def test_a_client_that_leaves_a_unary_call_cancels_it(stand, server):
    stand.generator.holding = {"a"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server}/generate", json={"inputs": "a"}, timeout=0.2)
    wait_for(lambda: stand.generator.closed == 1)
    wait_for(lambda: stand.sample("triptych_http_cancelled_total", route="/generate") == 1)
    assert stand.sample("triptych_http_requests_total", route="/generate", status="499") == 1


def test_a_client_that_leaves_a_stream_cancels_it(stand, server):
    stand.generator.holding_after_first = {"a b"}
    body = {"inputs": "a b", "stream": True}
    with httpx.stream("POST", f"{server}/generate", json=body) as response:
        assert next(response.iter_lines()).startswith("data:")
    wait_for(lambda: stand.generator.closed == 1)
    wait_for(lambda: stand.sample("triptych_http_cancelled_total", route="/generate") == 1)


def test_streams_whose_clients_close_the_socket_count_as_such_and_not_as_answered(stand, server):
    host, port = server.removeprefix("http://").split(":")
    body = json.dumps({"inputs": "a few words for a stream that goes on", "stream": True}).encode()
    stand.generator.holding_after_first = {"a few words for a stream that goes on"}
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            received = b""
            while b"data:" not in received:
                received += connection.recv(1000)
    wait_for(lambda: stand.sample("triptych_http_cancelled_total", route="/generate") == 20, seconds=20)
    assert stand.sample("triptych_http_requests_total", route="/generate", status="499") == 20
    assert stand.sample("triptych_http_requests_total", route="/generate", status="200") == 0


def test_a_client_that_leaves_does_not_hurt_its_neighbours(stand, server):
    stand.generator.holding = {"a", "b"}

    async def both() -> httpx.Response:
        async with httpx.AsyncClient(base_url=server) as client:
            leaving = asyncio.create_task(client.post("/generate", json={"inputs": "a"}))
            staying = asyncio.create_task(client.post("/generate", json={"inputs": "b"}))
            await eventually(lambda: len(stand.generator.seen) == 2)
            leaving.cancel()
            await asyncio.sleep(0.1)
            stand.generator.release()
            return await staying

    assert asyncio.run(both()).json() == [{"generated_text": "B"}]


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(stand, server, caplog):
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        time.sleep(0.1)
    wait_for(lambda: stand.sample("triptych_http_requests_total", route="/generate", status="499") == 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_body_over_the_limit_is_413_whether_announced_or_not():
    stand = Stand({"max_body_bytes": 1000})
    with stand.server() as url:
        announced = httpx.post(f"{url}/generate", json={"inputs": "a" * 2000})
        chunks = (b"x" * 300 for _ in range(10))
        chunked = httpx.post(f"{url}/generate", content=chunks, headers={"content-type": "application/json"})
        for response in (announced, chunked):
            assert response.status_code == 413, response.text
            error = response.json()["error"]
            assert (error["code"], error["max_body_bytes"]) == ("body_too_large", 1000)
        assert httpx.post(f"{url}/generate", json={"inputs": "a" * 900}).status_code == 200


def test_text_of_every_script_survives(server):
    text = "日本語 🙂 ‏עברית \x00"
    answer = httpx.post(f"{server}/generate", json={"inputs": text})
    assert answer.json() == [{"generated_text": text.upper()}]
