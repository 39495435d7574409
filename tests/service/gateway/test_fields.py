"""A parameter that a message declares is a field of a body, with its bounds, its description and both its names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import ValidationError, create_model

from service.gateway.fields import Body, fields_of, taken
from service.messages import Bounds
from service.messages.parameters import parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUp:
    heat: float = parameter(1.0, "how hot", gt=0, le=9)
    rounds: int | None = parameter(None, also="laps", ge=1, lt=8)
    words: tuple[str, ...] = parameter((), max_length=2, each=Bounds(min_length=1, max_length=3))
    pushes: tuple[tuple[int, float], ...] = parameter((), max_length=1, each=Bounds(ge=-1, le=1))
    end: bool | Literal["never"] = parameter(False)
    hidden: int = 5


MadeUpBody: Any = create_model("MadeUpBody", __base__=Body, **fields_of(MadeUp))


def test_fields_come_in_their_order_with_both_names_and_without_what_is_no_parameter() -> None:
    assert list(MadeUpBody.model_fields) == ["heat", "rounds", "laps", "words", "pushes", "end"]


def test_the_schema_says_bounds_and_descriptions() -> None:
    properties = MadeUpBody.model_json_schema()["properties"]
    assert properties["heat"]["description"] == "how hot"
    assert properties["heat"]["anyOf"][0] == {"type": "number", "exclusiveMinimum": 0, "maximum": 9}
    assert properties["laps"]["anyOf"][0] == {"type": "integer", "minimum": 1, "exclusiveMaximum": 8}
    assert properties["laps"]["description"] == "the same as rounds"
    assert properties["words"]["anyOf"][0]["maxItems"] == 2
    assert properties["pushes"]["anyOf"][0]["additionalProperties"] == {"type": "number", "minimum": -1, "maximum": 1}


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        ("heat", [0.1, 9, None], [0, 9.1, "1", True]),
        ("rounds", [1, 7, None], [0, 8, 1.5, True]),
        ("laps", [7], [8]),
        ("words", [[], ["a", "abc"], None], [["a"] * 3, [""], ["abcd"], "a"]),
        ("pushes", [{}, {"3": -1}], [{"x": 1}, {"3": 2}, {"3": 0, "4": 0}, {"3": True}]),
        ("end", [True, False, "never"], [0, 1, "always"]),
        ("hidden", [], [5]),
    ],
)
def test_what_is_within_the_bounds_is_taken_and_nothing_else(field: str, right: list, wrong: list) -> None:
    for value in right:
        MadeUpBody.model_validate({field: value})
    for value in wrong:
        with pytest.raises(ValidationError):
            MadeUpBody.model_validate({field: value})


def test_a_body_may_take_one_parameter_alone() -> None:
    class Alone(Body):
        rounds: int | None = taken(MadeUp, "rounds")

    assert Alone.model_validate({}).rounds is None
    assert Alone.model_validate({"rounds": 7}).rounds == 7
    with pytest.raises(ValidationError):
        Alone.model_validate({"rounds": 8})
