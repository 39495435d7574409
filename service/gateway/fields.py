"""What the fields of a body are made of: strict as JSON is, and described as they are checked.

Knows nothing of the tasks that have them.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_plain_validator_function


class Body(BaseModel):
    """Strict: a misspelt field is an error, and so is "5" for 5."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_pair(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


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

    def __init__(self, *value: str | int) -> None:
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
        raise PydanticCustomError("literal_error", "input should be True, False or 'never'")
    return value


def _one_or_several(*kinds: dict[str, Any]) -> WithJsonSchema:
    each = {"anyOf": [*kinds]} if len(kinds) > 1 else kinds[0]
    return WithJsonSchema({"anyOf": [*kinds, {"type": "array", "minItems": 1, "items": each}]})


_TEXT = {"type": "string", "minLength": 1}
Texts = Annotated[list[str], BeforeValidator(_as_list), _one_or_several(_TEXT)]
TOKEN_ID = re.compile("0|[1-9][0-9]{0,9}")
_BIASES = {
    "type": "object",
    "maxProperties": 1024,
    "propertyNames": {"pattern": f"^({TOKEN_ID.pattern})$"},
    "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
}
Bias = Annotated[float, Field(ge=-100, le=100)]
LogitBias = Annotated[
    dict[int, Bias],
    Field(max_length=1024),
    BeforeValidator(_token_ids),
    WithJsonSchema(_BIASES),
]
EarlyStopping = Annotated[
    Literal[True, False, "never"],
    BeforeValidator(_no_number),
    WithJsonSchema({"enum": [True, False, "never"]}),
]
StopStrings = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=256)]],
    Field(max_length=16),
]


class TextPair(Body):
    """A text, or two for models trained on pairs."""

    text: Annotated[str, WithJsonSchema(_TEXT)]
    text_pair: Annotated[str, WithJsonSchema(_TEXT)] | None = None


TextPairs = Annotated[
    list[Annotated[TextPair, BeforeValidator(_as_pair)]],
    BeforeValidator(_as_list),
    _one_or_several(_TEXT, TextPair.model_json_schema()),
]

# What every task takes, and takes last: /docs shows the fields in their order here.
Priority = Annotated[int | None, Field(ge=-10, le=10, description="lower is sooner; default: 0")]
Streamed = Annotated[bool | None, Field(description="true: server-sent events, for exactly one input")]
ModelName = Annotated[str | None, Field(description="which model, where several serve the task; default: the first")]
