"""Texts that contain a word which training is to leave out, in the ways in which people spell it past a filter.

A word is found in any Unicode form of its letters, in any case, with signs or digits between them (`시1발`), with
letters doubled (`씨이발`, `ㅅㅅㅂ`), with a syllable spelt as its letters (`시바ㄹ`, `ㅅㅣ발`). Spelt with spaces it
is found where it stands by itself (`시 발`): inside other words the same letters mean nothing (`다시 발견`). Knows
nothing of recipes: it is given the words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

from models import formats

_INSIDE = r"(?:[^\w\s]|[\d_])*"  # between the letters of a word
_SPACED = r"(?:\W|[\d_])*"
_ENDINGS = "들아야이은는가을를의도만같님놈년"  # what a Korean word that ends goes on with
_WEEPING = "ㅠㅜ"  # behind a consonant NFKC has made a syllable of it: ㅅㅂㅠㅠ is ㅅ뷰ㅠ


class BlockedWords:
    """`text in blocked`. `allowed` are words in which a blocked one begins and which mean something else: `시발점`."""

    def __init__(self, words: Iterable[str], allowed: Iterable[str] = ()) -> None:
        patterns = defaultdict[str, list[str]](list)
        for word in filter(None, dict.fromkeys(map(_folded, words))):
            for first, pattern in _spellings(word):
                patterns[first].append(pattern)
        # Most texts have few of these letters, so that hardly one of many patterns is tried.
        self._by_first = {first: re.compile("|".join(found)) for first, found in patterns.items()}
        self._firsts = re.compile(f"[{''.join(map(re.escape, patterns))}]") if patterns else None
        others = sorted(map(_folded, allowed), key=len, reverse=True)
        self._allowed = re.compile("|".join(map(re.escape, others)))  # without any it finds nothing of any length

    def __contains__(self, text: str) -> bool:
        return self.find(text) is not None

    def find(self, text: str) -> str | None:
        """The first blocked word, as the text spells it."""
        if self._firsts is None:
            return None
        text = _folded(text)
        for first in self._firsts.finditer(text):
            found = self._by_first[first[0]].match(text, first.start())
            if found and not any(each.start() <= first.start() < each.end() for each in self._allowed.finditer(text)):
                return found[0]
        return None


def _folded(text: str) -> str:
    return formats.normalize(text).casefold()


def _spellings(word: str) -> Iterator[tuple[str, str]]:
    """(a character that a spelling of the word may begin with, the pattern of those that do)."""
    drawn = len(word) > 1  # "씨입니다" is no insult of one syllable
    letters = [_letter(character, drawn) for character in word if not character.isspace()]
    ends = rf"(?=[{_ENDINGS}]|[^가-힣]|$)" if _is_syllable(word[-1]) else r"(?![^\W\d_가-힣])"
    pattern = _INSIDE.join(letters)
    if len(letters) > 1:
        pattern += rf"|(?<!\w){_SPACED.join(letters)}{ends}"
    for first in {word[0], *_parts(word[0])[:1], _open(word[0])}:
        yield first, pattern


def _letter(character: str, drawn: bool) -> str:
    """The pattern of a character: doubled; a syllable also spelt as letters and, if `drawn`, its vowel drawn out."""
    if not _is_syllable(character):
        wept = "".join(f"|{unicodedata.normalize('NFKC', character + vowel)}(?={vowel})" for vowel in _WEEPING)
        return f"(?:{re.escape(character)}+{wept})" if "ㄱ" <= character <= "ㅎ" else f"{re.escape(character)}+"
    first, vowel, *last = _parts(character)
    silent = unicodedata.normalize("NFKC", "ㅇ" + vowel)  # the vowel as a syllable of its own
    spoken = f"(?:{_open(character)}|{first}{_INSIDE}{vowel})"
    if drawn:
        spoken += f"(?:{_INSIDE}[{silent}{vowel}])*"
    if not last:
        return spoken
    closed = chr(ord(silent) + ord(character) - ord(_open(character))) if drawn else ""
    return f"(?:{character}|{spoken}{_INSIDE}[{closed}{last[0]}])[{character}{last[0]}]*"


def _is_syllable(character: str) -> bool:
    return "가" <= character <= "힣"


def _parts(character: str) -> list[str]:
    """A syllable's letters, as keyboards type them; of any other character itself."""
    if not _is_syllable(character):
        return [character]
    names = (unicodedata.name(part).split()[-1] for part in unicodedata.normalize("NFD", character))
    return [unicodedata.lookup(f"HANGUL LETTER {name}") for name in names]


def _open(character: str) -> str:
    """A syllable without its last consonant; of any other character itself."""
    parts = unicodedata.normalize("NFD", character)
    return unicodedata.normalize("NFC", parts[:2]) if _is_syllable(character) else character
