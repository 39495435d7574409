"""Fields as YAML gives them, read into frozen pydantic models; the message of an error names the field.

Knows nothing of what the models mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Annotated, Any, Self, get_args, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

_UNKNOWN = "unknown_field"
# What a value of a wrong kind or size should have been, in the words of YAML; for other errors pydantic has its own.
_EXPECTED = {
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "too_short": "at least {min_length}",
}


class RecipeError(ValueError):
    """A recipe that cannot be run; the message names the file and the field."""


class Section(BaseModel):
    """Fields that belong together. No value is taken for one of another type, but where YAML needs it."""

    model_config = ConfigDict(frozen=True, strict=True)

    @classmethod
    def read(cls, values: Any, where: str) -> Self:
        """From what YAML gave. Raises RecipeError, which says the path of each wrong field, beginning with `where`."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise RecipeError("; ".join(_line(each, where) for each in error.errors(include_url=False))) from error

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: Any) -> Any:
        names = list(cls.model_fields)
        unknown = sorted(str(name) for name in values if name not in names) if isinstance(values, Mapping) else []
        if unknown:
            near = get_close_matches(unknown[0], names, 1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            said = f"has no field {', '.join(map(repr, unknown))}{meant}; known are {', '.join(names)}"
            raise PydanticCustomError(_UNKNOWN, "{said}", {"said": said})
        return values


def section_of(kind: type[Any]) -> type[Section]:
    """A section with the fields of a dataclass; one that holds a dataclass of its own is left to that to check."""

    def read_as(hint: Any) -> Any:
        holds_another = any(map(dataclasses.is_dataclass, get_args(hint) or (hint,)))
        return Number if hint is float else Any if holds_another else hint

    hints = get_type_hints(kind)
    fields: dict[str, Any] = {
        field.name: (read_as(hints[field.name]), ... if field.default is dataclasses.MISSING else field.default)
        for field in dataclasses.fields(kind)
    }
    return create_model(kind.__name__, __base__=Section, **fields)


def _line(error: ErrorDetails, where: str) -> str:
    """One error with the path of its field, its value, and what is expected or known."""
    path = where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return f"{path} is missing"
    if kind == "value_error":  # of a section's own check, which names its field
        return f"{path}: {context['error']}" if error["loc"] else str(context["error"])
    if kind == _UNKNOWN:
        return f"{path} {error['msg']}"
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else error["msg"].removeprefix("Input should be ")
    return f"{path} is {error['input']!r}, expected {expected}"


def _number(value: Any) -> Any:
    if isinstance(value, str):
        with suppress(ValueError):  # YAML takes 1e-3 for a text, and only 1.0e-3 for a number
            return float(value)
    return value


def _as_texts(value: Any) -> Any:
    """YAML takes 0 and yes for a number and a truth value, where labels and columns are texts."""
    return {str(key): str(item) for key, item in value.items()} if isinstance(value, dict) else value


Number = Annotated[float, BeforeValidator(_number)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Positive = Annotated[Number, Field(gt=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Texts = Annotated[tuple[str, ...], Strict(False)]  # a list in YAML
TextByName = Annotated[dict[str, str], BeforeValidator(_as_texts)]
