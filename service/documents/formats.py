"""Which format a file has, by its ending. This dict is the only place that names them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from service.documents import delimited, docx, html, jsonlines, markdown, plain, subtitles
from service.documents.document import Document, DocumentError, Piece, Problem, Source, check_marks
from service.documents.encoding import decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the file does not say of itself."""

    columns: Sequence[str] = ()  # of a table
    fields: Sequence[str] = ("text",)  # of JSON Lines
    encoding: str | None = None  # None: found
    most_marks: int | None = None  # lines and tags: there is about one text a mark at most; None: any number


Reader = Callable[[bytes, Reading], Document]
Found = tuple[list[Piece], list[Problem]]


def _text(pieces: Callable[[str, Reading], Found], escaped: Callable[[str], str] | None = None) -> Reader:
    """A format that is one text, in some encoding. `escaped` spells a character that the encoding does not have."""

    def read(data: bytes, reading: Reading) -> Document:
        text, encoding = decoded(data, reading.encoding)
        names = max(len(reading.columns), len(reading.fields), 1)
        check_marks((text.count("\n") + text.count("\r")) * names + text.count("<"), reading.most_marks)
        found, problems = pieces(text, reading)
        return Document([Source(text, found)], lambda texts: encoding.encoded(texts[0], escaped), tuple(problems))

    return read


def _simple(pieces: Callable[[str], list[Piece]], escaped: Callable[[str], str] | None = None) -> Reader:
    return _text(lambda text, reading: (pieces(text), []), escaped)


_HTML = _simple(html.pieces, escaped=lambda character: f"&#{ord(character)};")

FORMATS: Mapping[str, Reader] = {
    "txt": _simple(plain.pieces),
    "md": _simple(markdown.pieces),
    "markdown": _simple(markdown.pieces),
    "html": _HTML,
    "htm": _HTML,
    "srt": _simple(subtitles.pieces),
    "vtt": _simple(subtitles.pieces),
    "docx": lambda data, reading: docx.document(data, reading.most_marks),
    "jsonl": _text(lambda text, reading: jsonlines.pieces(text, reading.fields)),
    "csv": _text(lambda text, reading: delimited.pieces(text, reading.columns)),
    "tsv": _text(lambda text, reading: delimited.pieces(text, reading.columns, "\t")),
}


def ending(name: str) -> str:
    """Of a file's name, as `FORMATS` has it; may be none of them."""
    return PurePath(name).suffix.lower().removeprefix(".")


def read(name: str, data: bytes, reading: Reading | None = None) -> Document:
    """The file `name` as its texts. DocumentError where it is of no format, or not what its ending says."""
    if ending(name) not in FORMATS:
        raise DocumentError(f"{name} is none of the files that can be translated: {', '.join(FORMATS)}")
    try:
        return FORMATS[ending(name)](data, reading or Reading())
    except RecursionError:
        raise DocumentError("what is in it is nested too deeply") from None
