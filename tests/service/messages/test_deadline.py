from __future__ import annotations

import time

import pytest

from service.errors import DeadlineExceeded
from service.messages import GenerateRequest
from service.messages.deadline import deadline_in, passed, seconds_left, unanswered


def test_what_is_left_is_what_was_given_less_the_time_since(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    request = GenerateRequest(id="g", text="x", deadline=deadline_in(2.5))
    assert seconds_left(request) == 2.5
    now += 2
    assert seconds_left(request) == 0.5
    now += 1.25
    with pytest.raises(DeadlineExceeded, match=r"^the deadline passed 750 ms before the request reached the model$"):
        seconds_left(request)


def test_a_request_without_a_deadline_has_time() -> None:
    assert seconds_left(GenerateRequest(id="g", text="x")) is None


def test_a_client_hears_of_its_own_time_in_milliseconds() -> None:
    error = unanswered(1.5)
    assert (error.message, error.details) == ("no answer within 1500 ms", {"timeout_ms": 1500.0})
    assert passed("while it slept").message == "the deadline passed while it slept"
