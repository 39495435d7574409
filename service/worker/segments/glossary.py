"""Which entries of a glossary a sentence asks for. Knows nothing of tokens, requests or models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """What a translation must say for characters `start` to `end` of the sentence."""

    start: int
    end: int
    target: str
    first: str  # the same where the translation begins with it


class Glossary:
    """Whole words, the longest ones first; a term that is written in the same case wins over one that is not. A Korean
    term ends where it ends: particles follow it without a space."""

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        self._exact: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        for source, target in entries:
            words = " ".join(source.split())
            self._exact[words] = " ".join(target.split())
            self._folded.setdefault(words.casefold(), self._exact[words])
        longest_first = sorted(self._exact, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_whole, longest_first)), re.IGNORECASE) if longest_first else None

    def terms(self, sentence: str) -> Iterator[Term]:
        """Of `sentence`, whose white space is single spaces, in their order."""
        for match in self._pattern.finditer(sentence) if self._pattern else ():
            found = match.group()
            target = self._exact.get(found) or self._folded.get(found.casefold())
            if target:
                begins = found[:1].isupper() and found not in self._exact
                yield Term(*match.span(), target, target[:1].upper() + target[1:] if begins else target)


def _whole(source: str) -> str:
    start = r"(?<!\w)" if re.match(r"\w", source) else ""
    end = r"(?!\w)" if re.search(r"[^\W\uac00-\ud7a3]$", source) else ""
    return start + re.escape(source) + end
