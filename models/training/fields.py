"""From a mapping, as YAML gives it, to a frozen dataclass, by its field types; the message of an error names the field.

Knows nothing of what the dataclasses mean.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from contextlib import suppress
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, Union

import yaml

from models.config import ConfigError

T = TypeVar("T")


def change(values: Any, assignment: str) -> None:
    """Set one field of what YAML gave, in place: `training.steps=100`, `corpora.0.repeat=2`. The value is YAML, too.

    Raises ConfigError where there is no such place.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise ConfigError(f"{assignment!r} is not of the form field=value, such as training.steps=100")
    *parents, last = path.split(".")
    place = values
    for name in parents:
        place = _inside(place, name, path)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{assignment!r}: the value is not YAML: {error}") from error
    if isinstance(place, list):
        _inside(place, last, path)
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value if text.strip() else ""  # what is set to nothing is empty; null is null
    else:
        raise ConfigError(f"{path} leads nowhere: what should hold {last!r} is {place!r}")


def _inside(place: Any, name: str, path: str) -> Any:
    try:
        return place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    except (AttributeError, IndexError, ValueError) as error:
        raise ConfigError(f"{path} leads nowhere: there is no {name!r} in {place!r}") from error


def read_fields(kind: type[T], values: Any, where: str) -> T:
    """Build the dataclass `kind`. Raises ConfigError: an unknown, missing or wrongly typed field."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is {values!r}, expected a mapping")
    hints = typing.get_type_hints(kind)
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(str(name) for name in values if name not in names)
    if unknown:
        near = get_close_matches(unknown[0], names, 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigError(f"{where} has no field {', '.join(map(repr, unknown))}{meant}; known are {', '.join(names)}")
    read = {name: _value(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return kind(**read)
    except TypeError as error:
        raise ConfigError(f"{where}: {str(error).split('() ', 1)[-1]}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return read_fields(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} is {value!r}, expected a list")
        return tuple(_value(arguments[0], item, f"{where}[{n}]") for n, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is {value!r}, expected a mapping")
        return {str(key): item if arguments[1] is Any else str(item) for key, item in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}, expected one of {', '.join(map(repr, arguments))}")
        return value
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        with suppress(ValueError):  # YAML takes 1e-3 for a text, and only 1.0e-3 for a number
            return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} is {value!r}, expected {hint.__name__}")
    return value
