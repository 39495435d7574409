"""Bytes as text and back. A guess where the file does not say: a mark at its start, UTF-8, Korean, Western European.

Statistics over many encodings are wrong for short texts more often than this order (they take French for Hungarian), so
that another encoding is to be named.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass

from service.documents.document import DocumentError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w:-]+)", re.IGNORECASE)
_HANGUL = re.compile(r"[가-힣ㄱ-ㆎ]")


@dataclass(frozen=True, slots=True)
class Encoding:
    name: str
    mark: bytes = b""  # at the file's start

    def encoded(self, text: str, escaped: Callable[[str], str] | None = None) -> tuple[bytes, tuple[str, ...]]:
        """The file, and a note where it became UTF-8 because it could not hold a character.

        `escaped` spells a character that the encoding does not have.
        """
        try:
            return self.mark + text.encode(self.name), ()
        except UnicodeEncodeError as error:
            missing = error.object[error.start]
        if escaped is not None:
            known = re.sub(r"[^\x00-\x7f]", lambda found: found[0] if self._has(found[0]) else escaped(found[0]), text)
            return self.mark + known.encode(self.name), ()
        return text.encode(), (f"written as utf-8: {self.name}, in which it was, has no {missing!r}",)

    def _has(self, character: str) -> bool:
        try:
            character.encode(self.name)
        except UnicodeEncodeError:
            return False
        return True


def decoded(data: bytes, named: str | None = None) -> tuple[str, Encoding]:
    """The file's text and how it was encoded. DocumentError where `named` is no encoding, or not this file's."""
    for mark, name in _MARKS:
        if data.startswith(mark) and (named is None or _same(named, name)):
            return _decoded(data.removeprefix(mark), Encoding(name, mark))
    if named is not None:
        return _decoded(data, Encoding(_known(named)))
    guess = _guess(data)
    return _decoded(data, Encoding(guess))


def _known(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise DocumentError(f"the encoding {name!r} is unknown; known are utf-8, utf-16, cp949, latin-1 ...") from None


def _same(named: str, name: str) -> bool:
    """Whether a mark's encoding is the one that was named: utf-16 leaves the order of bytes to the mark."""
    return name.startswith(_known(named).removesuffix("-sig"))


def _decoded(data: bytes, encoding: Encoding) -> tuple[str, Encoding]:
    try:
        return data.decode(encoding.name), encoding
    except UnicodeDecodeError as error:
        at = f"byte {error.start + 1:,}"
        raise DocumentError(f"it is not {encoding.name}: {at} is 0x{data[error.start]:02x}; --encoding says") from None


def _guess(data: bytes) -> str:
    if b"\0" in data[:4096]:
        zeros = [data[:4096][odd::2].count(0) for odd in (0, 1)]
        if max(zeros) > 4 * min(zeros):
            return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        raise DocumentError("it is no text: there are zero bytes in it")
    for name in ("utf-8", _declared(data)):
        try:
            data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
        return name
    if _korean(data):
        return "cp949"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _declared(data: bytes) -> str:
    found = _DECLARED.search(data[:4096])
    return found[1].decode() if found else "utf-8"


def _korean(data: bytes) -> bool:
    """Nine of ten characters that are not ASCII are syllables of two bytes from the upper half, as Korean's common ones
    are; the bytes of accented letters stand alone, between those of ASCII."""
    try:
        text = data.decode("cp949")
    except UnicodeDecodeError:
        return False
    others = [each for each in text if ord(each) > 127]
    common = sum(1 for each in others if _HANGUL.match(each) and min(each.encode("cp949")) > 0xA0)
    return common > 0.9 * len(others)
