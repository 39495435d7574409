from __future__ import annotations

import pytest

from service.errors import InputTooLong, InvalidRequest
from service.gateway.limits import NamedText, check_decoding, check_lengths, check_total
from service.messages import Decoding
from tests.service.gateway.fakes import model_info


def test_the_first_text_that_is_too_long_is_called_as_its_client_calls_it() -> None:
    texts = [NamedText(0, "q[0]", "abc"), NamedText(1, "q[1]", "abcd"), NamedText(2, "q[2]", "abcde")]
    with pytest.raises(InputTooLong, match=r"^q\[1\] has 4 characters, the limit is 3$") as refused:
        check_lengths(texts, model_info("m", "generate", max_characters=3))
    assert refused.value.details == {"index": 1, "limit": 3}
    check_lengths(texts, model_info("m", "generate", max_characters=5))
    check_lengths(texts, model_info("m", "generate"))  # an older worker does not say


def test_the_texts_of_a_call_have_a_bound_together() -> None:
    texts = [NamedText(0, "q[0]", "abc"), NamedText(1, "q[1]", "abcd")]
    check_total(texts, 7)
    with pytest.raises(InputTooLong, match=r"^the request has texts of 7 characters, the limit is 6$") as refused:
        check_total(texts, 6)
    assert refused.value.details == {"value": 7, "limit": 6}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"max_new_tokens": 33}, "settings.max_new_tokens is 33, the model's limit is 32"),
        ({"min_new_tokens": 33}, "settings.min_new_tokens is 33, settings.max_new_tokens is 32"),
        ({"min_new_tokens": 3, "max_new_tokens": 2}, "settings.min_new_tokens is 3, settings.max_new_tokens is 2"),
        ({"num_beams": 5}, "num_beams is 5, the model has 4 slots"),
    ],
)
def test_what_a_model_cannot_decode_is_refused_with_its_limit(asked: dict, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_decoding(Decoding(**asked), model_info("m", "generate"), lambda name: f"settings.{name}")
    assert refused.value.message.startswith(words)
    check_decoding(Decoding(max_new_tokens=32, min_new_tokens=32, num_beams=4), model_info("m", "generate"))
