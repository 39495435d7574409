from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from pydantic import ValidationError

from models.training.fields import Number, RecipeError, Section, Share, TextByName, Texts, section_of


class Inner(Section):
    size: int
    share: Share = 0.5


class Outer(Section):
    inner: tuple[Inner, ...] = ()
    texts: Texts = ()
    number: Number = 1.0
    named: TextByName = {}  # noqa: RUF012 - pydantic copies it
    kind: Literal["one", "two"] = "one"
    flag: bool = False


def test_what_yaml_takes_for_something_else_is_what_the_field_says() -> None:
    read = Outer.read({"texts": ["a", "b"], "number": "1e-3", "named": {0: "no", True: 1}}, "it")
    assert (read.texts, read.number, read.named) == (("a", "b"), 0.001, {"0": "no", "True": "1"})
    assert Outer.read({"number": 3}, "it").number == 3.0


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([], r"^it is \[\], expected a mapping$"),
        ({"texts": "fr"}, r"^it.texts is 'fr', expected a list$"),
        ({"texts": [1]}, r"^it.texts\[0\] is 1, expected a valid string$"),
        ({"number": True}, "^it.number is True, expected a valid number$"),
        ({"number": "fast"}, "^it.number is 'fast', expected a valid number$"),
        ({"flag": 1}, "^it.flag is 1, expected a valid boolean$"),
        ({"kind": "three"}, "^it.kind is 'three', expected 'one' or 'two'$"),
        ({"named": 3}, "^it.named is 3, expected a mapping$"),
        ({"nmber": 3}, r"^it has no field 'nmber' \(did you mean 'number'\?\); known are inner, texts, number, named"),
        ({"inner": ({"size": "a"},)}, r"^it.inner\[0\].size is 'a', expected a valid integer$"),
        ({"inner": ({"size": 1, "sise": 2},)}, r"^it.inner\[0\] has no field 'sise' \(did you mean 'size'"),
        ({"inner": ({"size": 1, "share": 1},)}, r"^it.inner\[0\].share is 1, expected less than 1$"),
        ({"inner": ({},), "flag": 0}, r"^it.inner\[0\].size is missing; it.flag is 0, expected a valid boolean$"),
    ],
)
def test_each_wrong_field_is_named_with_its_value_and_what_is_expected(values: object, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        Outer.read(values, "it")


def test_a_section_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Inner(size=1).size = 2  # type: ignore[misc]


@dataclass(frozen=True, kw_only=True)
class Config:
    width: int
    dropout: float = 0.1


def test_a_dataclass_is_read_as_a_section_is() -> None:
    section = section_of(Config)
    assert Config(**section.read({"width": 3, "dropout": "1e-1"}, "model").model_dump()) == Config(width=3)
    with pytest.raises(RecipeError, match=r"^model.width is missing$"):
        section.read({}, "model")
    with pytest.raises(RecipeError, match=r"^model has no field 'layers'; known are width, dropout$"):
        section.read({"width": 3, "layers": 1}, "model")
