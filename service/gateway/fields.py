"""What the fields of a body are made of: strict as JSON is, and described as they are checked.

A parameter's type, bounds and description are those of the message that carries it. Knows nothing of the tasks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal, get_args, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_plain_validator_function

from service.messages import Bounds, Direction, parameters_of


class Body(BaseModel):
    # Strict: a misspelt field is an error, and so is "5" for 5.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    shape: ClassVar[str] = "an object with inputs"  # what one looks like, for those who send no object
    expected: ClassVar[Mapping[str, str]] = {}  # of a field that has several types: what it takes
    array: ClassVar[str | None] = None  # the field that the body is, where that is no object but an array


def taken(message: type, name: str) -> Any:
    """The field of a body that becomes the parameter `name` of a message; null leaves it out."""
    said = parameters_of(message)[name]
    return Field(default=None, description=said.description, **_constraints(said.bounds))


def fields_of(message: type) -> dict[str, Any]:
    """A field for each parameter of a message, and for its other name if it has one: for `pydantic.create_model`."""
    types, found = get_type_hints(message), {}
    for name, said in parameters_of(message).items():
        several = _SEVERAL.get(types[name])
        kind = several(said.bounds) if several else types[name]
        bounds = {} if several else _constraints(said.bounds)
        found[name] = (kind | None, Field(default=None, description=said.description, **bounds))
        if said.also:
            found[said.also] = (kind | None, Field(default=None, description=f"the same as {name}", **bounds))
    return found


def _constraints(bounds: Bounds) -> dict[str, Any]:
    given = {name: limit for name, limit in asdict(bounds).items() if limit is not None}
    given.pop("each", None)
    return given


def frozen(value: Any) -> Any:
    """A field's value as a message has it, which never changes."""
    value = tuple(value.items()) if isinstance(value, dict) else value
    return tuple(value) if isinstance(value, list) else value


def _token_ids(value: Any, info: ValidationInfo) -> Any:
    """JSON has names for keys: "15" is token 15."""
    if not isinstance(value, dict):
        return value
    wrong = next((key for key in value if not (isinstance(key, str) and TOKEN_ID.fullmatch(key))), None)
    if wrong is not None:
        raise PydanticCustomError("token_id", "{key} is no token id, expected a whole number", {"key": repr(wrong)})
    return {int(key): bias for key, bias in value.items()}


def same(one: Any, other: Any) -> bool:
    """As JSON: true is not 1, which Python takes it for."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


class Neutral:
    """Of what clients send by default and we do not do: null passes, and the one value that changes nothing, if any."""

    def __init__(self, *value: Any) -> None:
        self._value = value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"enum": [*self._value, None], "description": "not supported: only what changes nothing"}

    def _check(self, given: Any) -> Any:
        if given is None or any(same(given, one) for one in self._value):
            return given
        alternative = f" or send {json.dumps(self._value[0])}" if self._value else ""
        message = "this parameter is not supported: leave it out{alternative}"
        raise PydanticCustomError("not_supported", message, {"alternative": alternative})


def _no_number(value: Any) -> Any:
    # For Python, and so for Literal, 0 is False.
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise PydanticCustomError("literal_error", 'expected true, false or "never"')
    return value


TOKEN_ID = re.compile("0|[1-9][0-9]{0,9}")


def _texts(bounds: Bounds) -> Any:
    each = _constraints(bounds.each or Bounds())
    return Annotated[list[Annotated[str, Field(**each)]], Field(**_constraints(bounds))]


def _biases(bounds: Bounds) -> Any:
    each = bounds.each or Bounds()
    schema = {
        "type": "object",
        "maxProperties": bounds.max_length,
        "propertyNames": {"pattern": f"^({TOKEN_ID.pattern})$"},
        "additionalProperties": {"type": "number", "minimum": each.ge, "maximum": each.le},
    }
    return Annotated[
        dict[int, Annotated[float, Field(**_constraints(each))]],
        Field(**_constraints(bounds)),
        BeforeValidator(_token_ids),
        WithJsonSchema(schema),
    ]


# Of parameters whose type in a message is not that of their JSON.
_SEVERAL = {
    tuple[str, ...]: _texts,
    tuple[tuple[int, float], ...]: _biases,
    bool | Literal["never"]: lambda bounds: Annotated[
        Literal[True, False, "never"], BeforeValidator(_no_number), WithJsonSchema({"enum": [True, False, "never"]})
    ],
}


def one_or_several(*kinds: dict[str, Any]) -> WithJsonSchema:
    each = {"anyOf": [*kinds]} if len(kinds) > 1 else kinds[0]
    return WithJsonSchema({"anyOf": [*kinds, {"type": "array", "minItems": 1, "items": each}]})


_SIDES = {"Left": "left", "Right": "right"}  # as text-embeddings-inference writes them
Side = Annotated[
    Direction,
    BeforeValidator(lambda value: _SIDES.get(value, value) if isinstance(value, str) else value),
    WithJsonSchema({"enum": [*get_args(Direction), *_SIDES]}),
]
as_list = BeforeValidator(lambda value: value if isinstance(value, list) else [value])


def _as_sent(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    texts = read(value if isinstance(value, list) else [value])
    return texts if isinstance(value, list) else texts[0]


TEXT = {"type": "string", "minLength": 1}
ANY_TEXT = {"type": "string"}
# The same, told apart for who answers one with one; also such as have nothing in them.
TextsAsSent = Annotated[list[str], WrapValidator(_as_sent), one_or_several(ANY_TEXT)]
Texts = Annotated[list[str], as_list, one_or_several(TEXT)]  # one text, or several
