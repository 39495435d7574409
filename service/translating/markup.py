"""HTML through a translator of plain text: the texts between its tags, one by one, and put back between them.

The one place to change for a service that takes HTML itself, and moves tags with the words that they hold.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

_TAG = re.compile(r"(<[^>]*>)")


def texts_of(markup: str) -> list[str]:
    return [html.unescape(part) for part in _TAG.split(markup) if _is_said(part)]


def put_back(markup: str, translations: Sequence[str]) -> str:
    """`markup` with the translation of each of `texts_of`."""
    waiting = iter(translations)
    return "".join(
        framed(part, html.escape(next(waiting), quote=False)) if _is_said(part) else part for part in _TAG.split(markup)
    )


def framed(text: str, translation: str) -> str:
    """With the white space that is around `text`: what a text stands beside depends on it."""
    return text[: len(text) - len(text.lstrip())] + translation.strip() + text[len(text.rstrip()) :]


def _is_said(part: str) -> bool:
    return not part.startswith("<") and any(map(str.isalpha, html.unescape(part)))
