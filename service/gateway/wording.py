"""What pydantic and the JSON parser find wrong, in words of JSON rather than of Python.

Knows nothing of bodies and of who sends them.
"""

from __future__ import annotations

import re

from pydantic_core import ErrorDetails

# By pydantic's type of the error; the names are of its context.
_WORDS = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "dataclass_type"), "expected an object"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "expected true or false"),
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing", "int_parsing_size"), "expected a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "expected a number"),
    "finite_number": "expected a finite number",
    "string_type": "expected a text",
    "list_type": "expected a list",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "too_long": "it has {actual_length} items, the limit is {max_length}",
    "too_short": "it has {actual_length} items, expected at least {min_length}",
    "string_too_long": "expected at most {max_length} characters",
    "string_too_short": "expected at least {min_length} characters",
    "string_pattern_mismatch": "expected a text that matches {pattern}",
}
_NO_NUMBER = re.compile(rb"[+-]?(?:nan|inf(?:inity)?)\b", re.IGNORECASE)


def expectation(error: ErrorDetails) -> str:
    """What the value should have been, for a sentence that has quoted it."""
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        return f"expected {_as_json(str(context['expected']))}" if "expected" in context else _lower(error["msg"])
    if error["type"] in ("string_too_short", "too_short") and context.get("min_length") == 1:
        return "expected one that is not empty"
    words = _WORDS.get(error["type"])
    return _lower(error["msg"]) if words is None else words.format(**{name: _plain(x) for name, x in context.items()})


def not_json(content: bytes, error: ValueError) -> str:
    """Why the content of a body is not JSON, with the place."""
    said = str(error)
    if not content:
        return "the body is empty, expected JSON"
    found = re.search(r"line (\d+) column (\d+)", said)
    if found is None:
        return f"the body is not JSON: {said}"
    lines = content.split(b"\n")
    line, column = int(found[1]), int(found[2])
    rest = lines[line - 1][max(column - 1, 0) :] if line <= len(lines) else b""
    if number := _NO_NUMBER.match(rest):
        reason = f"{number[0].decode()} is no number of JSON"
    elif rest[:1] == b"'":
        reason = "texts are in double quotes"
    elif content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        reason = "it is UTF-16, expected UTF-8"
    else:
        return f"the body is not JSON: {said}"
    return f"the body is not JSON: {reason}, at line {line} column {column}"


def _as_json(expected: str) -> str:
    """Alternatives as pydantic lists them."""
    return expected.replace("True", "true").replace("False", "false").replace("None", "null").replace("'", '"')


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
