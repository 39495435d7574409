"""What people do to a text when they type it: each kind of variation as a function.

A variation takes a source, its translation and a source of randomness, and returns both as they then are; a text that
it does not apply to comes back unchanged. What is wrong in the source alone (slips, missing accents) is to be
understood; what a writer means (capitals, a final sign, a piece to copy) stands on both sides. Knows nothing of ids or
languages, only of scripts.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable

from numpy.random import Generator

from models.training.data.pieces import PLACEHOLDERS, Pair, copies, one_of

_END = re.compile(r"\s*[.!?…。！？]+$")
_SPACED_SIGN = re.compile(r"\s+([?!:;»])|(«)\s+")  # as French has it
_AFTER_SIGN = re.compile(r"(?<=[,.;:!?]) ")
_LIGATURES = str.maketrans({"œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ß": "ss"})
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SYLLABLES = range(0xAC00, 0xD7A4)
_FINALS = 28  # a Hangul syllable's final consonants, none included: syllables that differ in it alone are neighbours


def capitals(source: str, target: str, random: Generator) -> Pair:
    """Both in capitals. What is written in letters without case stays, and what has a placeholder, which has none."""
    uncased = any(letter.isalpha() and letter.lower() == letter.upper() for letter in source)
    return (source, target) if uncased or PLACEHOLDERS.search(source) else (source.upper(), target.upper())


def lower_case(source: str, target: str, random: Generator) -> Pair:
    """The source without capitals; some of it without accents or its final sign, as in a chat."""
    lowered = source.lower()
    if lowered == source:
        return source, target
    if random.random() < 0.5:
        lowered, target = without_end(lowered), without_end(target)
    return accents(lowered, target, random) if random.random() < 0.3 else (lowered, target)


def final_signs(source: str, target: str, random: Generator) -> Pair:
    """No final sign, another one, a repeated one, or none of the spaces that French puts before it."""
    choice = random.random()
    if choice < 0.5:
        return without_end(source), without_end(target)
    if choice < 0.75:
        return _SPACED_SIGN.sub(r"\1\2", source), target
    sign = str(random.choice(["!", "!!", "...", "?!", ".", "??"]))
    if choice < 0.85 and source.endswith(".") and target.endswith("."):
        return f"{without_end(source)}!", f"{without_end(target)}!"
    end = source[-1:]
    return (source + end * int(random.integers(1, 3)) if end in sign else source), target


def without_end(text: str) -> str:
    """Without its final sign, where anything else is in it."""
    return _END.sub("", text) or text


def accents(source: str, target: str, random: Generator) -> Pair:
    """The source's Latin letters without accents and ligatures."""
    return "".join(map(_plain, source.translate(_LIGATURES))), target


def _plain(character: str) -> str:
    first = unicodedata.normalize("NFD", character)[0]
    return first if first in string.ascii_letters else character


def spaces(source: str, target: str, random: Generator) -> Pair:
    """The source without some of its spaces: of Korean any of them, elsewhere one after a sign, or any one."""
    places = [place for place, character in enumerate(source) if character == " "]
    if not places:
        return source, target
    if 2 * sum(ord(character) in _SYLLABLES for character in source) > sum(map(str.isalpha, source)):
        share = random.random()
        dropped = {place for place in places if random.random() < share}
    else:
        dropped = {one_of([match.start() for match in _AFTER_SIGN.finditer(source)] or places, random)}
    return "".join(character for place, character in enumerate(source) if place not in dropped), target


def slips(source: str, target: str, random: Generator) -> Pair:
    """The source with a typing slip, or one for every 30 characters or so of a long text."""
    letters = list(source)
    for _ in range(1 + int(random.poisson(len(source) / 60))):
        places = [place for place, letter in enumerate(letters) if letter.isalpha()]
        if len(places) < 3:
            break
        place = one_of(places, random)
        letters[place : place + 2] = _slip(letters[place : place + 2], random)
    return "".join(letters), target


def _slip(two: list[str], random: Generator) -> list[str]:
    """A letter and what follows it: left out, doubled, swapped, or hit beside."""
    letter, rest = two[0], two[1:]
    choice = int(random.integers(4))
    if choice == 0:
        return rest
    if choice == 1:
        return [letter, letter, *rest]
    if choice == 2:
        return [*rest, letter] if rest and rest[0].isalpha() else two
    return [_beside(letter, random), *rest]


def _beside(letter: str, random: Generator) -> str:
    """A neighbour on the keyboard; of a Hangul syllable one with another final consonant, or none."""
    code = ord(letter)
    if code in _SYLLABLES:
        final = (code - _SYLLABLES.start) % _FINALS
        return chr(code - final + (0 if final else int(random.integers(1, _FINALS))))
    for row in _KEYS:
        if (place := row.find(letter.lower())) >= 0:
            found = one_of(row[max(place - 1, 0) : place] + row[place + 1 : place + 2], random)
            return found.upper() if letter.isupper() else found
    return letter


VARIATIONS: dict[str, Callable[[str, str, Generator], Pair]] = {
    each.__name__: each for each in (capitals, lower_case, final_signs, accents, spaces, slips, copies)
}
