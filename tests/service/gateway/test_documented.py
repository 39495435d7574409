"""What holds answers against the documentation finds what it is there for."""

from __future__ import annotations

import httpx
import pytest
from jsonschema import ValidationError

from tests.service.gateway.conftest import Stand
from tests.service.gateway.documented import Documented

EVENT = (
    'data:{"index": 1, "token": {"id": 1, "text": "a", "logprob": -1, "special": false}, %s"generated_text": null%s}'
)


async def hold(path: str, status: int = 200, **content: object) -> None:
    """As if the gateway had answered so."""
    request = httpx.Request("GET" if path == "/info" else "POST", f"http://gateway{path}")
    await Documented(Stand().app)(httpx.Response(status, request=request, **content))


async def test_what_is_documented_passes() -> None:
    await hold(
        "/translate", json=[{"translation_text": "a", "score": None, "alternatives": [{"translation_text": ""}]}]
    )
    await hold("/classify", json=[[{"label": "a", "score": 0.5}]])
    await hold("/nowhere", 404, json={"error": {"code": "a", "message": "b", "request_id": "c", "limit": 1}})


@pytest.mark.parametrize(
    ("path", "status", "answer", "said"),
    [
        ("/translate", 200, [{"translation_text": "a", "seeds": 1}], "'seeds' was unexpected"),
        ("/translate", 200, [{}], "'translation_text' is a required property"),
        ("/translate", 200, {"translation_text": "a"}, "is not of type 'array'"),
        (
            "/generate",
            200,
            [{"generated_text": "a", "details": {"finish_reason": "eos_token"}}],
            r"^.'finish_reason': 'eos_token'. is not valid",
        ),
        ("/classify", 200, [[{"label": "a", "score": "high"}]], "'high' is not of type 'number'"),
        ("/info", 200, {"service": {"name": "a", "version": "1"}, "models": []}, "'limits' is a required property"),
        ("/generate", 422, {"error": {"code": "a", "message": "b"}}, "'request_id' is a required property"),
        (
            "/generate",
            422,
            {"error": {"code": "a", "message": "b", "request_id": "c", "hint": "d"}},
            "'hint' was unexpected",
        ),
        ("/nowhere", 404, {"detail": "Not Found"}, "'error' is a required property"),
    ],
)
async def test_what_is_not_documented_is_found(path: str, status: int, answer: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        await hold(path, status, json=answer)


@pytest.mark.parametrize(
    ("more", "end", "right"),
    [("", ', "details": null', True), ("", "", False), ('"a": 1, ', ', "details": null', False)],
)
async def test_every_event_of_a_stream_is_held_against_it(more: str, end: str, right: bool) -> None:
    sent = {"text": EVENT % (more, end) + "\n\n:\n\n", "headers": {"content-type": "text/event-stream"}}
    if right:
        await hold("/generate", **sent)
    else:
        with pytest.raises(ValidationError, match=r"^.'index': 1, .* is not valid"):
            await hold("/generate", **sent)
