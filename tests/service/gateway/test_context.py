from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from service.errors import InvalidRequest
from service.gateway.context import RequestContext, timeout_s
from service.gateway.errors import error_answer
from service.messages import Classification, Timing


def result(version: str, queue_ms: float, inference_ms: float) -> Classification:
    timing = Timing(queue_ms=queue_ms, inference_ms=inference_ms)
    return Classification(request_id="1", scores=(), prompt_tokens=1, timing=timing, model_version=version)


def test_of_several_answers_the_slowest_and_the_newest_version_count() -> None:
    context = RequestContext("mine", "/classify", error_answer)
    assert context.headers() == {"x-request-id": "mine"}
    context.note([result("m@1", 5, 1), result("m@2", 2, 8.126), result("", 0, 0)])
    assert context.headers() == {
        "x-request-id": "mine",
        "x-model-version": "m@2",
        "x-queue-time-ms": "5.00",
        "x-inference-time-ms": "8.13",
    }


def test_what_is_left_began_with_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    context = RequestContext("mine", "/classify", error_answer, started=now)
    now += 0.75
    assert (context.seconds(), context.left_s(2.0)) == (0.75, 1.25)


@pytest.mark.parametrize(("given", "seconds"), [({}, 60), ({"x-request-timeout-ms": "1500"}, 1.5)])
def test_a_client_may_give_less_time_than_the_settings_and_no_more(given: dict[str, str], seconds: float) -> None:
    assert timeout_s(Headers(given), 60) == seconds
    assert timeout_s(Headers({"x-request-timeout-ms": "61000"}), 60) == 60
    with pytest.raises(InvalidRequest, match=r"is '1\.5', expected a whole number"):
        timeout_s(Headers({"x-request-timeout-ms": "1.5"}), 60)
