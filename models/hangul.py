"""Korean letters that stand alone (ㅋㅋ, ㅠㅠ, ㅇㅇ), which Unicode has twice.

Keyboards type compatibility letters (U+3131 to U+318E). NFKC makes of them the conjoining ones that syllables are
composed of (U+1100 to U+11FF), which fonts draw as half of a syllable, and then composes them across what was typed:
`ㅋㅋㅠㅠ` becomes `ᄏ큐ᅲ`. Knows nothing of vocabularies or of tasks.
"""

from __future__ import annotations

import re
import unicodedata

FILLER = "\u3164"  # a letter that is not to be seen: nobody types it for a letter
_TYPED_LETTERS = [chr(code) for code in range(0x3131, 0x318F) if chr(code) != FILLER]
# Of each conjoining letter the one that keyboards type; exactly what NFKC does, turned round.
_TYPED = {unicodedata.normalize("NFKC", letter): letter for letter in _TYPED_LETTERS}
_TYPED_LETTER = re.compile(f"[{''.join(_TYPED_LETTERS)}]")
_NOT_TYPED_LETTERS = re.compile(f"[^{''.join(_TYPED_LETTERS)}]+")
_CONJOINING = re.compile(f"[{''.join(_TYPED)}]")
# A syllable of letters that are no longer used has no character of its own: its parts belong together.
_OLD_SYLLABLE_OR_LETTER = re.compile(f"[\u1100-\u115f]+[\u1161-\u11a7]+[\u11a8-\u11ff]*|([{''.join(_TYPED)}])")


def compose(text: str) -> str:
    """NFKC, except that a letter that stands alone is as keyboards type it, and syllables are composed of none such."""
    text = _NOT_TYPED_LETTERS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return _OLD_SYLLABLE_OR_LETTER.sub(lambda found: _TYPED[found[0]] if found[1] else found[0], text)


def conjoined(text: str) -> str:
    """Of a text that `compose` gave, what NFKC makes of it: letters that follow each other are one syllable."""
    return unicodedata.normalize("NFKC", text) if _TYPED_LETTER.search(text) else text


def typed(text: str) -> str:
    """Every conjoining letter as keyboards type it. What becomes of a letter does not depend on its neighbours."""
    return _CONJOINING.sub(lambda found: _TYPED[found[0]], text)
