"""Characters as markup writes them: entities and what they stand for. Knows nothing of tags."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Literal

from service.worker.segments.markup.errors import Format

Quote = Literal["", '"', "'"]  # around an attribute's value

REFERENCE = re.compile(r"&(?:#[0-9]{1,8};?|#[xX][0-9a-fA-F]{1,8};?|[A-Za-z_:][\w:.-]{0,63};|[A-Za-z][A-Za-z0-9]{0,31})")
_ALWAYS: dict[str, str] = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_IN_QUOTES: dict[str, str] = {'"': "&quot;", "'": "&#39;"}
_OPENS = re.compile(r"<[A-Za-z/!?%]")


def decoded(reference: str, format: Format, *, in_attribute: bool = False, following: str = "") -> str | None:
    """What it stands for; itself where it is no entity, and None where nobody here knows what it is."""
    if not reference.endswith(";"):
        if format == "xml" or (in_attribute and (following == "=" or following.isalnum())):
            return reference
        return html.unescape(reference)
    meant = html.unescape(reference)
    return meant if meant and meant != reference and not meant.endswith(";") else None


def encoded(text: str, written: Mapping[str, str], format: Format, quote: Quote | None = None) -> str:
    """`written` is how the source writes characters: as an entity, or as they are where the format lets them be.

    `quote` is what stands around an attribute's value; None is text between tags.
    """
    must = _ALWAYS | ({quote: _IN_QUOTES[quote]} if quote else {})

    def write(found: re.Match[str]) -> str:
        character = found[0]
        as_written = written.get(character, must.get(character, character))
        if as_written == character and character in must:
            return character if _may_stand(text, found.start(), format, quote) else must[character]
        return as_written

    special = "".join(map(re.escape, {*must, *written}))
    return re.sub(f"[{special}]", write, text)


def _may_stand(text: str, place: int, format: Format, quote: Quote | None) -> bool:
    """Whether the character is read as itself where it stands."""
    match text[place]:
        case "&":
            reference = REFERENCE.match(text, place)
            return format == "html" and (reference is None or decoded(reference[0], format) == reference[0])
        case "<":
            return format == "html" and (quote is not None or _OPENS.match(text, place) is None)
        case ">":
            return True
    return False
