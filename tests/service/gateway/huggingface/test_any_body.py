"""Whatever is posted, the answer is a result or the error shape, and never our fault."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.gateway.huggingface.tasks import TASKS
from tests.service.gateway.conftest import Stand
from tests.service.gateway.documented import Documented
from tests.service.gateway.fakes import parameters_type

PARAMETERS = sorted({name for body in TASKS.values() for name in parameters_type(body).model_fields})

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
likely = st.sampled_from([None, True, False, 0, 1, 2, 0.5, 1.0, -1, 2**64, 1e308, "fr", "auto", "softmax", "a", [], {}])
parameters = st.dictionaries(st.sampled_from(PARAMETERS), likely | anything, max_size=3)
texts = st.text(max_size=8) | st.fixed_dictionaries({"text": st.text(max_size=4), "text_pair": st.text(max_size=4)})
bodies = anything | st.fixed_dictionaries(
    {"inputs": texts | st.lists(texts, max_size=3) | anything},
    optional={"parameters": parameters | anything, "stream": likely, "model": likely, "extra": likely},
)

sentences = st.text(min_size=1, max_size=8).filter(str.strip)


def likely_answered(task: str) -> st.SearchStrategy[tuple[str, object]]:
    languages = {"src_lang": st.just("fr")} if task == "translate" else {}
    parameters = st.fixed_dictionaries(languages, optional={"priority": st.integers(-10, 10)})
    body = {"inputs": sentences | st.lists(sentences, min_size=1, max_size=3), "parameters": parameters}
    return st.tuples(st.just(f"/{task}"), st.fixed_dictionaries(body, optional={"stream": st.booleans()}))


paths = st.sampled_from([*(f"/{task}" for task in TASKS), "/detect"])
posts = st.tuples(paths, bodies) | st.sampled_from(list(TASKS)).flatmap(likely_answered)


@pytest.fixture(scope="module")
def post():
    stand = Stand()
    with asyncio.Runner() as runner:
        transport = httpx.ASGITransport(app=stand.app, raise_app_exceptions=False)
        hooks = {"response": [Documented(stand.app)]}  # which knows what a result looks like
        client = httpx.AsyncClient(transport=transport, base_url="http://gateway", event_hooks=hooks)
        yield lambda path, **request: runner.run(client.post(path, **request))


def check(response: httpx.Response) -> None:
    assert response.status_code in (200, 400, 404, 422), response.text
    assert response.headers["x-request-id"]
    if response.status_code != 200:
        assert {"code", "message", "request_id"} <= response.json()["error"].keys()


thorough = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@thorough
@given(asked=posts)
def test_any_json_is_answered_or_refused(post, asked):
    path, body = asked
    # json.dumps writes NaN, Infinity and lone surrogates, which are not JSON but what clients may send
    check(post(path, content=json.dumps(body), headers={"content-type": "application/json"}))


@thorough
@given(path=paths, body=st.binary(max_size=30))
def test_any_bytes_are_answered_or_refused(post, path, body):
    check(post(path, content=body, headers={"content-type": "application/json"}))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"inputs": NaN}',
        b'{"inputs": -Infinity}',
        b'{"inputs": "\\ud800"}',
        b"[" * 100_000,
        b'{"inputs": ' + b"9" * 5000 + b"}",
        b'{"inputs": "a"} more',
        b"\xff\xfe",
    ],
)
def test_what_is_not_json_is_400_with_its_position(post, body):
    response = post("/generate", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "bad_request"
    assert "column" in response.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"[]", b"null", b'"a"', b"5"])
def test_what_is_not_an_object_is_400(post, body):
    response = post("/generate", content=body)
    assert response.status_code == 400
    assert "expected an object" in response.json()["error"]["message"]


def test_an_infinite_number_is_422(post):
    body = b'{"inputs": "a", "parameters": {"temperature": 1e999}}'
    response = post("/generate", content=body)
    assert response.status_code == 422
    assert response.json()["error"]["message"].startswith("parameters.temperature is Infinity: ")


def test_another_content_type_is_415_and_named(post):
    for kind in ("text/plain", "application/x-www-form-urlencoded"):  # the second is what curl -d says
        response = post("/generate", content=b"{}", headers={"content-type": kind})
        assert response.status_code == 415
        assert response.json()["error"]["code"] == "unsupported_media_type"
        assert f'content-type is "{kind}", expected application/json' in response.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", ""])
def test_json_by_any_of_its_names_is_taken(post, kind):
    body = b'{"inputs": "a"}'
    assert post("/generate", content=body, headers={"content-type": kind} if kind else {}).status_code == 200


def test_a_byte_order_mark_in_front_is_passed_over(post):
    assert post("/generate", content=b'\xef\xbb\xbf{"inputs": "a"}').status_code == 200
