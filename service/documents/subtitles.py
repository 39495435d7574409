"""Subtitles, SubRip and WebVTT: a sentence is a text, over as many lines and cues as it takes.

Its translation is laid out over the same lines and cues by length. Numbers, times, settings, notes, styles and tags
stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.documents.document import Piece
from service.documents.inline import Syntax
from service.documents.runs import Runs

_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|$)")
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[,.](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}")
_MARKUP = re.compile(r"<(?P<close>/)?(?P<name>[A-Za-z]+)?(?P<rest>[^>]*)>|\{\\[^}]*\}|&\w+;|\\[hN]")
_ENDED = re.compile(r"[.!?…。！？♪♫:;][\"'»”’)\]]*\s*$")
_SPEAKER = re.compile(r"\s*(?:[-–—♪♫#]|>>|[A-ZÀ-Þ][\w .'’]{0,20}:\s|\[|\()")
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&nbsp;": "\xa0"}
_PAUSE_S = 3.0  # longer ones end a sentence


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    cue: int
    begins_s: float
    ends_s: float


def pieces(source: str) -> list[Piece]:
    runs = Runs(source, Syntax())
    before: _Line | None = None
    place = ""
    for line in _lines(source):
        if before is not None and _goes_on(source, before, line):
            runs.line_break(before.end, line.start, needed=line.cue != before.cue)
        else:
            runs.finish(place)
            place = f"cue {line.cue}"
        _read(runs, source, line)
        before = line
    runs.finish(place)
    return [*runs.found]


def _lines(source: str) -> Iterator[_Line]:
    """What is shown: the lines that follow a line with times, up to an empty one."""
    cue, times = 0, None
    for found in _LINE.finditer(source):
        text = found[1]
        if match := _TIMES.match(text):
            cue, times = cue + 1, (_seconds(*match.groups()[:4]), _seconds(*match.groups()[4:]))
        elif not text.strip():
            times = None
        elif times is not None:
            start = found.start() + len(text) - len(text.lstrip())
            yield _Line(start, found.start() + len(text.rstrip()), cue, *times)


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


def _goes_on(source: str, before: _Line, line: _Line) -> bool:
    """Whether a line is of the sentence of the one before."""
    if line.cue != before.cue and not -1 <= line.begins_s - before.ends_s <= _PAUSE_S:
        return False
    said, following = (_MARKUP.sub("", source[each.start : each.end]) for each in (before, line))
    if _SPEAKER.match(following):
        return False
    return not _ENDED.search(said) or following.lstrip("….\"'«“ ")[:1].islower()


def _read(runs: Runs, source: str, line: _Line) -> None:
    at = line.start
    for found in _MARKUP.finditer(source, line.start, line.end):
        runs.said(at, found.start())
        at = found.end()
        if found["name"] and found["close"]:
            runs.closed(*found.span(), found["name"].lower())
        elif found["name"]:
            runs.opened(*found.span(), found["name"].lower())
        elif found[0] in _ENTITIES:
            runs.said(*found.span(), _ENTITIES[found[0]])
        else:
            runs.kept(*found.span())
    runs.said(at, line.end)
