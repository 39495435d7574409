"""Pieces that a translation takes over as they are: addresses, numbers, names, codes, placeholders, emoji.

Random ones take the place of those that stand on both sides of a pair, so that a translator learns to copy what it has
never seen rather than what it remembers. Knows nothing of ids or languages.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import TypeVar

from numpy.random import Generator

Pair = tuple[str, str]
T = TypeVar("T")

PLACEHOLDERS = re.compile(r"%\(?\w*\)?[sd]|\{\{?\$?\w*\}?\}|\$\{\w+\}|\$\d|%\d\$[sd]|<\w+>")
_NUMBERS = re.compile(r"(?<![\w.,])\d+(?:[.,:/-]\d+)*(?![A-Za-z\d])")
_NAMES = re.compile(r"(?<![A-Za-z%$_])[A-Z][A-Za-z]{2,}(?![A-Za-zÀ-ÿ'])")


def copies(source: str, target: str, random: Generator) -> Pair:
    """A piece that stands in both once (a placeholder, a number, a name) becomes a random one, or one is added."""
    for pattern, pieces in ((PLACEHOLDERS, (_placeholder,)), (_NUMBERS, _FIGURES), (_NAMES, _WRITTEN)):
        common = [piece for piece in pattern.findall(source) if source.count(piece) == target.count(piece) == 1]
        if common:
            old, new = one_of(common, random), one_of(pieces, random)(random)
            return source.replace(old, new), target.replace(old, new)
    new = one_of(_PIECES, random)(random)
    choice = random.random()
    if choice < 0.5:
        return f"{source} {new}", f"{target} {new}"
    if choice < 0.75:
        return f"{source} ({new})", f"{target} ({new})"
    return f"{new}: {source}", f"{new}: {target}"


def one_of(things: Sequence[T], random: Generator) -> T:
    return things[int(random.integers(len(things)))]


def _letters(random: Generator, least: int, most: int, of: str = string.ascii_lowercase) -> str:
    return "".join(of[i] for i in random.integers(len(of), size=int(random.integers(least, most + 1))))


def _word(random: Generator) -> str:
    """Pronounceable: most of what is copied is."""
    syllables = range(int(random.integers(2, 4)))
    return "".join(
        _letters(random, 1, 1, "bcdfghjklmnprstvwz") + _letters(random, 1, 1, "aeiou") + _letters(random, 0, 1, "nrslm")
        for _ in syllables
    )


def _name(random: Generator) -> str:
    name = _word(random).capitalize()
    return f"{name} {_word(random).capitalize()}" if random.random() < 0.3 else name


def _host(random: Generator) -> str:
    return f"{_word(random)}.{random.choice(['com', 'org', 'fr', 'kr', 'net', 'io', 'co.kr', 'example'])}"


def _url(random: Generator) -> str:
    scheme = str(random.choice(["https://", "http://", "https://www.", "www."]))
    path = "".join(
        f"/{_word(random) if random.random() < 0.7 else _digits(random, 1, 5)}" for _ in range(random.integers(3))
    )
    query = f"?{_letters(random, 1, 4)}={_digits(random, 1, 4)}" if random.random() < 0.2 else ""
    return scheme + _host(random) + path + query


def _email(random: Generator) -> str:
    return f"{_word(random)}{random.choice(['', '.', '_', '-'])}{_letters(random, 1, 6)}@{_host(random)}"


def _digits(random: Generator, least: int, most: int) -> str:
    return _letters(random, least, most, string.digits)


def _number(random: Generator) -> str:
    return str(int(10 ** random.uniform(0, 6)))


def _clock(random: Generator) -> str:
    return f"{random.integers(24)}:{random.integers(60):02d}"


def _date(random: Generator) -> str:
    year, month, day = random.integers(1950, 2050), random.integers(1, 13), random.integers(1, 29)
    return f"{year}-{month:02d}-{day:02d}" if random.random() < 0.5 else f"{day:02d}/{month:02d}/{year}"


def _release(random: Generator) -> str:
    return f"{'v' if random.random() < 0.3 else ''}{random.integers(20)}.{random.integers(30)}.{random.integers(30)}"


def _code(random: Generator) -> str:
    return f"{_letters(random, 1, 4, string.ascii_uppercase)}{random.choice(['', '-', '_'])}{_digits(random, 2, 6)}"


def _identifier(random: Generator) -> str:
    first, second = _word(random), _word(random)
    written = (f"{first}_{second}", f"{first}{second.capitalize()}", f"{first}.{second}()", f"--{first}-{second}")
    return one_of(written, random)


def _path(random: Generator) -> str:
    parts = "/".join(_word(random) for _ in range(random.integers(1, 4)))
    end = random.choice(["", ".txt", ".py", ".csv", ".jpg", ".conf"])
    return f"{random.choice(['/', './', '~/', 'C:/'])}{parts}{end}"


def _placeholder(random: Generator) -> str:
    word, digit = _word(random), random.integers(4)
    written = (
        "%s", "%d", f"%{digit + 1}$s", f"{{{digit}}}", f"{{{word}}}", f"{{{{{word}}}}}",
        f"${{{word}}}", f"${digit + 1}", f"{{${word}}}", f"%({word})s",
    )  # fmt: skip
    return one_of(written, random)


def _handle(random: Generator) -> str:
    return f"{random.choice(['@', '#'])}{_word(random)}{_digits(random, 0, 3)}"


def _emoji(random: Generator) -> str:
    return chr(int(random.choice([random.integers(0x1F600, 0x1F645), random.integers(0x1F300, 0x1F6C0)])))


_FIGURES = (_number, _number, _number, _clock, _date, _release, _code)
_WRITTEN = (_name, _name, _name, _name, _url, _email, _code, _identifier, _handle)
_PIECES = (
    _url, _url, _email, _code, _path, _placeholder, _handle, _emoji, _emoji, _identifier, _release, _date, _number,
)  # fmt: skip
