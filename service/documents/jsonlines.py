"""JSON Lines: the fields that are named, in each line; a dot leads into an object.

Only their characters change: order, white space, numbers and other fields stay. A line that is not JSON, and one
without a field, stays as it is and is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.documents.document import DocumentError, Piece, Problem, Rendered, Text

_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|$)")  # a string may have other line breaks in it
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Value:
    start: int
    end: int
    text: Text
    ascii: bool  # other characters are escaped in this line

    def written(self, translation: str, rendered: Rendered) -> str:
        return json.dumps(translation, ensure_ascii=self.ascii)


def pieces(source: str, fields: Sequence[str]) -> tuple[list[Piece], list[Problem]]:
    found: list[Piece] = []
    problems: list[Problem] = []
    names: dict[str, None] = {}
    lines = 0
    for number, match in enumerate(_LINE.finditer(source), start=1):
        line, start = match[1], match.start()
        if not line.strip():
            continue
        lines += 1
        try:
            value = json.loads(line)
        except ValueError as error:
            problems.append(Problem(f"line {number}", f"it is not JSON: {error}"))
            continue
        names |= dict.fromkeys(value if isinstance(value, dict) else ())
        for field in fields:
            where = _find(source, _skip(source, start), field.split("."))
            place = f"line {number}, {field}"
            if where is None:
                problems.append(Problem(place, "there is no such field"))
                continue
            text = json.loads(source[slice(*where)])
            if isinstance(text, str):
                found.append(_Value(*where, Text(text, "text", place), ascii=line.isascii() and "\\u" in line))
            elif text is not None:
                problems.append(Problem(place, f"{json.dumps(text)[:50]} is no text"))
    if lines and not found:
        said = problems[0].reason if problems else "it is null everywhere"
        raise DocumentError(
            f"no line has a text in {' or '.join(fields)} ({said}); there are the fields {', '.join(names) or 'none'}"
        )
    return found, problems


def _skip(source: str, at: int) -> int:
    space = _SPACE.match(source, at)
    assert space is not None, "it matches nothing, too"
    return space.end()


def _find(source: str, at: int, path: Sequence[str]) -> tuple[int, int] | None:
    """Where the value at `path` stands, in the object that begins at `at`; of several with its name, the last."""
    if source[at] != "{":
        return None
    found, at = None, _skip(source, at + 1)
    while source[at] != "}":
        name, at = _DECODER.raw_decode(source, at)
        start = _skip(source, _skip(source, at) + 1)
        _, end = _DECODER.raw_decode(source, start)
        if name == path[0]:
            found = (start, end) if len(path) == 1 else _find(source, start, path[1:])
        at = _skip(source, end)
        if source[at] == ",":
            at = _skip(source, at + 1)
    return found
