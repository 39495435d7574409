"""Plain text: each line is a text, or each paragraph where a file is wrapped at a column.

A file is wrapped where no line but the last of a paragraph could have taken the next one's first word: its paragraphs
are translated whole and laid out over as many lines again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from service.documents.document import Piece
from service.documents.runs import Runs

_LINE = re.compile(r"[^\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_WIDTHS = range(40, 121)  # of wrapped files
_ENOUGH = 4  # lines that are followed by another: fewer may look wrapped by chance
_NEW = re.compile(r"\s*(?:[-*+•–—]|\(?\w{1,3}[.)])\s")  # a bullet or a number


def pieces(source: str) -> list[Piece]:
    lines = [found.span() for found in _LINE.finditer(source) if found[0].strip()]
    paragraphs = _paragraphs(source, lines)
    if not _is_wrapped(source, lines, paragraphs):
        paragraphs = [[line] for line in lines]
    runs = Runs(source)
    for paragraph in paragraphs:
        behind: int | None = None
        for start, end in paragraph:
            text = source[start:end]
            begin, stop = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
            if behind is not None:
                runs.line_break(behind, begin)
            runs.said(begin, stop)
            behind = stop
        runs.finish()
    return [*runs.found]


def _paragraphs(source: str, lines: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Lines with nothing but one line break between them, indented alike."""
    paragraphs: list[list[tuple[int, int]]] = []
    for start, end in lines:
        before = source[paragraphs[-1][-1][1] : start] if paragraphs else ""
        goes_on = before in ("\n", "\r\n", "\r") and not _NEW.match(source, start, end)
        if goes_on and (
            len(paragraphs[-1]) == 1 or _indent(source, paragraphs[-1][-1]) == _indent(source, (start, end))
        ):
            paragraphs[-1].append((start, end))
        else:
            paragraphs.append([(start, end)])
    return paragraphs


def _indent(source: str, line: tuple[int, int]) -> int:
    text = source[slice(*line)]
    return len(text) - len(text.lstrip())


def _is_wrapped(source: str, lines: Sequence[tuple[int, int]], paragraphs: Sequence[Sequence[tuple[int, int]]]) -> bool:
    width = max((len(source[start:end].rstrip()) for start, end in lines), default=0)
    followed = [pair for paragraph in paragraphs for pair in pairwise(paragraph)]
    if width not in _WIDTHS or len(followed) < _ENOUGH:
        return False
    # Who wraps by hand is not exact: a line may be a little short.
    short = [
        (line, following)
        for line, following in followed
        if len(source[slice(*line)].rstrip()) + 1 + len(source[slice(*following)].split()[0]) <= 0.9 * width
    ]
    return len(short) <= 0.05 * len(followed)
