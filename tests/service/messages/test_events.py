from __future__ import annotations

import pickle

import pytest

from service.errors import BY_CODE, InputTooLong, ServiceError
from service.messages import Alignment, Alternative, Completion, Failure, TranslateRequest


@pytest.mark.parametrize("error", BY_CODE.values(), ids=BY_CODE)
def test_an_error_crosses_the_boundary_by_value(error: type[ServiceError]) -> None:
    failure = pickle.loads(pickle.dumps(Failure.of("r1", error("512 of 256", value=512, limit=256))))
    came_out = failure.error()
    assert type(came_out) is error
    assert (came_out.message, came_out.details) == ("512 of 256", {"value": 512, "limit": 256})


def test_a_code_from_a_newer_worker_is_an_internal_error() -> None:
    assert Failure(request_id="r", code="from_the_future", message="m").error().status == 500


def test_codes_are_unique_and_statuses_are_errors() -> None:
    assert len({error.code for error in BY_CODE.values()}) == len(BY_CODE)
    assert all(400 <= error.status < 600 for error in BY_CODE.values())
    assert issubclass(InputTooLong, BY_CODE["invalid_request"])


def test_messages_survive_pickling() -> None:
    request = TranslateRequest(id="1", text="x", source_language="fr", target_language="en", deadline=1.5)
    assert pickle.loads(pickle.dumps(request)) == request
    answer = Completion(
        request_id="1",
        text="y",
        finish_reason="length",
        prompt_tokens=1,
        generated_tokens=2,
        score=-0.5,
        alternatives=(Alternative(text="z", score=-0.7, seed=3),),
        alignment=Alignment(source_tokens=("x",), target_tokens=("y",), weights=((1.0,),)),
    )
    assert pickle.loads(pickle.dumps(answer)) == answer
