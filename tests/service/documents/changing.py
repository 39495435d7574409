"""Stand-ins for a translator: they change every text, and show where it went."""

from __future__ import annotations

import re
from collections.abc import Callable

from service.documents.document import Piece, Source, Text

_TAG = re.compile(r"(<[^>]*>|&\w+;)")


def shouted(text: Text) -> str:
    """In capitals, tags as they are."""
    return "".join(part if _TAG.fullmatch(part) else part.upper() for part in _TAG.split(text.text))


def changed(
    pieces: Callable[[str], list[Piece]], source: str, change: Callable[[Text], str] = shouted
) -> tuple[list[str], str]:
    """The texts in `source`, and it with each of them changed."""
    found = Source(source, pieces(source))
    written, problems = found.written([change(piece.text) for piece in found.pieces])
    assert problems == []
    return [piece.text.text for piece in found.pieces], written
