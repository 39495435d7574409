from __future__ import annotations

import json
from typing import Annotated, Literal

import pytest
from pydantic import Field

from service.errors import BadRequest, ServiceError
from service.gateway.fields import Body
from service.gateway.parsing import parse_body


class Taken(Body):
    flag: bool | None = None
    whole: Annotated[int | None, Field(ge=1, le=4)] = None
    number: Annotated[float | None, Field(gt=0, lt=2)] = None
    text: Annotated[str | None, Field(min_length=2, max_length=3)] = None
    several: Annotated[list[str] | None, Field(min_length=1, max_length=2)] = None
    named: dict[str, int] | None = None
    one_of: Literal[True, False, "never"] | None = None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"flag": 1}, "flag is 1: expected true or false"),
        ({"whole": "2"}, 'whole is "2": expected a whole number'),
        ({"whole": 1.5}, "whole is 1.5: expected a whole number"),
        ({"whole": True}, "whole is true: expected a whole number"),
        ({"whole": 0}, "whole is 0: expected at least 1"),
        ({"whole": 5}, "whole is 5: expected at most 4"),
        ({"number": False}, "number is false: expected a number"),
        ({"number": 0}, "number is 0: expected more than 0"),
        ({"number": 2}, "number is 2: expected less than 2"),
        ({"text": None, "several": "a"}, 'several is "a": expected a list'),
        ({"text": 5}, "text is 5: expected a text"),
        ({"text": "a"}, 'text is "a": expected at least 2 characters'),
        ({"text": "abcd"}, 'text is "abcd": expected at most 3 characters'),
        ({"several": []}, "several is []: expected one that is not empty"),
        ({"several": ["a", "b", "c"]}, 'several is ["a", "b", "c"]: it has 3 items, the limit is 2'),
        ({"named": ["a"]}, 'named is ["a"]: expected an object'),
        ({"one_of": "always"}, 'one_of is "always": expected true, false or "never"'),
    ],
)
def test_what_is_wrong_with_a_field_is_said_in_words_of_json(body: dict, said: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_body(json.dumps(body).encode(), Taken)
    assert caught.value.message == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the body is empty, expected JSON"),
        (b'{"number": NaN}', "the body is not JSON: NaN is no number of JSON, at line 1 column 12"),
        (b'{\n "number":\n  Infinity}', "the body is not JSON: Infinity is no number of JSON, at line 3 column 3"),
        (b"{'text': 1}", "the body is not JSON: texts are in double quotes, at line 1 column 2"),
        ('{"text": "ab"}'.encode("utf-16"), "the body is not JSON: it is UTF-16, expected UTF-8, at line 1 column 1"),
        (b'{"text": "ab"', "the body is not JSON: EOF while parsing an object at line 1 column 13"),
        (b'{"text": "ab",}', "the body is not JSON: trailing comma at line 1 column 15"),
    ],
)
def test_what_is_no_json_is_said_with_its_place(content: bytes, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_body(content, Taken)
    assert caught.value.message == said
