"""What is said of markup that cannot be read."""

from __future__ import annotations

from typing import Literal

from service.errors import InvalidRequest

Format = Literal["html", "xml"]

_QUOTED = 40  # characters


def malformed(text: str, format: Format, position: int, why: str) -> InvalidRequest:
    """Quotes the text at `position`, a number of characters."""
    line = text.count("\n", 0, position) + 1
    quoted = text[position : position + _QUOTED]
    return InvalidRequest(
        f"malformed {format.upper()} at character {position} (line {line}): {why}: {quoted!r}", position=position
    )
