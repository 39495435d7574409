"""What a translation leaves as it is: addresses, code, placeholders, file names, long numbers, emoji, tags and handles.

The model reads a name or a number in their place, which is among its words and which it need not understand: `hide`
puts it there, `Hidden.restored` takes it out of the translation again. That the translation has it is the search's
business. Knows nothing of requests or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count

import regex

_FILES = (
    "bak|bat|bin|bmp|bz2|c|cc|cfg|conf|cpp|cs|css|csv|deb|dll|docx?|dylib|eps|epub|exe|gif|go|gz|hpp|html?|ico|ini|ipynb"
    "|iso|jar|java|jpe?g|js|jsonl?|key|log|lock|lua|md|mkv|mov|mp[34]|od[pst]|ogg|otf|pdf|php|pl|png|pptx?|ps|py|rar|rb"
    "|rpm|rs|rst|rtf|sh|sql|srt|svg|tar|tex|tgz|tiff?|toml|tsv|ttf|txt|wav|webm|webp|whl|xlsx?|xml|xz|ya?ml|zip"
)
# An address does not end in a mark of the sentence; Korean particles stand right behind it.
_TAIL = r"(?:[^\s<>\"“”«»`\uac00-\ud7a3]|(?<=[/=_-])[\uac00-\ud7a3]+)+(?<![.,;:!?…\]}'’*_])"
_KINDS = {
    "code": r"``(?:[^`\n]|`(?!`))+``|`[^`\n]+`",
    "url": rf"(?:(?:https?|ftps?|sftp|file|git|ssh)://|mailto:|www\.){_TAIL}",
    "mail": r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}",
    "placeholder": (
        r"\{\{[^{}\n]*\}\}|\$?\{[^{}\s][^{}\n]{0,60}\}|\{\}|%\([\w.]+\)[#0\- +]*\d*(?:\.\d+)?[a-zA-Z]"
        r"|(?<!\d)%(?:\d+\$)?[#0\-+]*\d*(?:\.\d+)?(?:hh|h|ll|l|z)?[sdifuxXeEgGcr@](?![\w%])|</?[A-Za-z][^<>\n]*>|\$[A-Z_][A-Z0-9_]+"
    ),
    "path": (
        r"(?:[A-Za-z]:\\|\\\\|(?<![\w.])~?/(?=\w)|(?<![\w.])\.{1,2}/)(?:[\w.@%+~-]+[/\\])*[\w@%+~-][\w.@%+~-]*(?<![.])"
        rf"|(?<![\w.@/-])[\w-]+(?:\.[\w-]+)*\.(?:{_FILES})(?!\.?[A-Za-z0-9_])"
    ),
    "handle": r"(?<![\w@#&])(?:@[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|#\w+)",
    "number": (
        r"(?<![\w.,])(?:\+\d[\d ().-]{6,}\d|\(?0\d(?:[ .-]\d{2}){4}|\d{1,3}(?:[ \u00a0\u202f.,'’]\d{3})+(?:[.,]\d+)?"
        r"|\d+(?:\.\d+){2,}|\d{1,4}[-/]\d{1,2}[-/]\d{1,4}|\d+(?::\d{2}){1,2}|\d+(?:-\d+){2,}|\d{5,}(?:[.,]\d+)?)(?![\w]|[.,:/-]\d)"
    ),
    "emoji": (
        r"(?:[0-9#*]\ufe0f?\u20e3|\p{Extended_Pictographic}|\p{Regional_Indicator}|\p{Emoji_Modifier}|[\u200d\ufe0f\u20e3])+"
    ),
}
_PROTECTED = regex.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()))
# With how Korean spells them: a translation may have the name of a person of the text.
_NAMES = {
    "Tom": "톰", "Mary": "메리", "Paul": "폴", "Anna": "안나", "Peter": "피터", "Alice": "앨리스", "David": "데이비드",
    "Emma": "엠마", "Robert": "로버트", "Laura": "로라", "Martin": "마틴", "Julia": "줄리아",
}  # fmt: skip
_NUMBERS = tuple(str(number) for number in (37, 48, 59, 26, 84, 93, 62, 71, 38, 47, 56, 29))


@dataclass(frozen=True, slots=True)
class Piece:
    """A protected part of a text."""

    start: int
    end: int
    kind: str


def protected(text: str) -> list[Piece]:
    """In their order. Those with nothing but spaces between them are one."""
    pieces: list[Piece] = []
    for match in _PROTECTED.finditer(text):
        start, end = match.span()
        kind = match.lastgroup or ""
        end = _balanced(text, start, end) if kind == "url" else end
        if pieces and not text[pieces[-1].end : start].strip(" "):
            pieces[-1] = Piece(pieces[-1].start, end, kind if kind == pieces[-1].kind else "several")
        else:
            pieces.append(Piece(start, end, kind))
    return pieces


def _balanced(text: str, start: int, end: int) -> int:
    """Without a parenthesis at the end that the address has not opened, and what marks stand before that."""
    while text[end - 1] == ")" and text.count(")", start, end) > text.count("(", start, end):
        end = start + len(text[start : end - 1].rstrip(".,;:!?…]}'’*_"))
    return end


def trimmed(text: str, start: int, end: int, pieces: Sequence[Piece]) -> tuple[int, int]:
    """Without the emoji at its ends, which no model needs to see. `pieces` are within `start` and `end`."""
    for piece in pieces:
        if piece.kind == "emoji" and not text[start : piece.start].strip():
            start = piece.end
    for piece in reversed(pieces):
        if piece.kind == "emoji" and piece.start >= start and not text[piece.end : end].strip():
            end = piece.start
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - (len(inner) - len(inner.rstrip()))


@dataclass(frozen=True, slots=True)
class Hidden:
    """A sentence as the model reads it."""

    text: str
    originals: tuple[tuple[str, str], ...] = ()  # what it reads, and what is to stand there

    def within(self, text: str) -> Hidden:
        """Of a part of the text."""
        return Hidden(text, tuple(each for each in self.originals if each[0] in text))

    def restored(self, translation: str) -> str:
        """Each original once, wherever its stand-in is; at the end where that is missing."""
        for stand_in, original in self.originals:
            translation = _restored(translation, stand_in, original)
        return translation

    def missing(self, translation: str) -> list[str]:
        """Stand-ins that are not there."""
        return [stand_in for stand_in, _ in self.originals if stand_in not in translation]


def _restored(translation: str, stand_in: str, original: str) -> str:
    for pattern in (rf"(?<![A-Za-z0-9]){stand_in}(?![A-Za-z0-9])", rf"[A-Za-z0-9]*{stand_in}[A-Za-z0-9]*"):
        if first := re.search(pattern, translation):
            rest = re.sub(rf" ?{pattern}", "", translation[first.end() :])
            return translation[: first.start()] + original + rest
    return f"{translation} {original}".strip()


def _unused(words: Iterable[str], taken: str) -> Iterator[str]:
    """Those that are not in `taken`, then numbers for ever."""
    lower = taken.lower()
    for word in chain(words, map(str, count(1001))):
        if word.lower() not in lower:
            yield word


def hide(text: str, pieces: Sequence[Piece], taken: str) -> Hidden:
    """`pieces` are within `text`; no stand-in is a part of `taken`."""
    names = _unused((name for name, spelled in _NAMES.items() if spelled not in taken), taken)
    numbers = _unused(_NUMBERS, taken)
    parts, originals, end = [], [], 0
    for piece in pieces:
        stand_in = next(numbers if piece.kind == "number" else names)
        parts += [text[end : piece.start], stand_in]
        originals.append((stand_in, text[piece.start : piece.end]))
        end = piece.end
    return Hidden("".join([*parts, text[end:]]), tuple(originals))
