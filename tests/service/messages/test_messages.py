from __future__ import annotations

import pickle

import pytest

from service.errors import BY_CODE, InputTooLong, InvalidRequest, ServiceError
from service.messages import Alignment, Alternative, Completion, Decoding, Failure, TranslateRequest


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


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"num_beams": 4, "num_return_sequences": 4, "min_new_tokens": 3, "logit_bias": ((1, 1.0),)},
        {"do_sample": True, "num_return_sequences": 16, "stop": (".",), "top_n_tokens": 2},
        {"stop": (".",), "top_n_tokens": 2, "length_penalty": 0.5, "early_stopping": True},
    ],
)
def test_settings_that_go_together_are_taken(asked: dict) -> None:
    Decoding(**asked).check_results(slots=4)


@pytest.mark.parametrize(
    ("asked", "parameter", "limit"),
    [
        ({"num_beams": 17}, "num_beams", 16),
        ({"num_beams": 5}, "num_beams", 4),
        ({"num_beams": 0}, "num_beams", 1),
        ({"num_return_sequences": 0}, "num_return_sequences", 1),
        ({"num_return_sequences": 17, "do_sample": True}, "num_return_sequences", 16),
        ({"num_return_sequences": 2}, "num_return_sequences", 1),
        ({"num_return_sequences": 3, "num_beams": 2}, "num_return_sequences", 2),
    ],
)
def test_a_count_that_cannot_be_is_refused_with_its_limit(asked: dict, parameter: str, limit: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Decoding(**asked).check_results(slots=4)
    assert (refused.value.details["parameter"], refused.value.details["limit"]) == (parameter, limit)
    assert str(asked[parameter]) in refused.value.message
    assert str(limit) in refused.value.message


@pytest.mark.parametrize(
    ("asked", "word"), [({"do_sample": True}, "sampling"), ({"stop": (".",)}, "stop"), ({"top_n_tokens": 1}, "top_n")]
)
def test_what_no_beam_search_can_do_is_refused_by_name(asked: dict, word: str) -> None:
    with pytest.raises(InvalidRequest, match=f"num_beams is 2, which does not go with {word}"):
        Decoding(num_beams=2, **asked).check_results(slots=4)
