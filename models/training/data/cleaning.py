"""Which texts training leaves out, and for which reason: the rules of a recipe's `cleaning`.

Knows nothing of files or tasks: it sees texts by column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import regex

from models.training.data.blocked import BlockedWords
from models.training.data.duplicates import NearDuplicates, Seen, fingerprint, hash64
from models.training.data.readers import DataError
from models.training.sections import Cleaning

# In the order they are looked at; a row counts for the first that holds. Those of a recipe have its fields' names.
REASONS = {
    "other_labels": "has a label that the recipe does not name",
    "held_out": "was chosen for validation",
    "min_characters": "is too short",
    "min_distinct": "repeats a few characters",
    "max_repeat": "repeats one character",
    "blocked": "contains a blocked word",
    "scripts": "is not in the column's script",
    "max_length_ratio": "is much longer than its translation",
    "duplicates": "is there already",
    "near_duplicates": "is nearly a held-out text",
}
_LETTERS = regex.compile(r"\p{L}+")


class Cleaner:
    """`reason(texts, ...)` says why a row is left out, or None. Remembers the rows it has been asked about."""

    def __init__(self, rules: Cleaning, held_out: NearDuplicates) -> None:
        self._rules, self._held_out = rules, held_out
        self._repeat = None if rules.max_repeat is None else re.compile(rf"(.)\1{{{rules.max_repeat}}}", re.DOTALL)
        self._blocked = BlockedWords(rules.blocked, rules.allowed)
        self._scripts = {column: script_share(name) for column, name in rules.scripts.items()}
        self._seen = Seen()

    def reason(self, texts: Mapping[str, str], mark: str, apart: bool) -> str | None:
        """A key of REASONS. `apart`: each text is compared with the held-out ones, not all of them as one."""
        rules = self._rules
        for text in texts.values():
            if found := self._of_text(text):
                return found
        for column, share in self._scripts.items():
            if column in texts and share(texts[column]) < 0.5:
                return "scripts"
        if rules.max_length_ratio is not None and len(texts) > 1:
            lengths = [len(text.strip()) for text in texts.values()]
            if max(lengths) > rules.max_length_ratio * min(lengths):
                return "max_length_ratio"
        prints = {column: fingerprint(text) for column, text in texts.items()}
        if rules.duplicates:
            new = self._seen.add(_identity(texts, prints, mark))
            if mark:  # without its mark the same text says nothing that is not said here
                self._seen.add(_identity(texts, prints, ""))
            if not new:
                return "duplicates"
        if any(map(self._held_out.has, prints.values() if apart else ("".join(prints.values()),))):
            return "near_duplicates"
        return None

    def _of_text(self, text: str) -> str | None:
        rules = self._rules
        if len(text) < rules.min_characters:
            return "min_characters"
        if rules.min_distinct and len(set(text)) < rules.min_distinct * len(text):
            return "min_distinct"
        if self._repeat and self._repeat.search(text):
            return "max_repeat"
        if text in self._blocked:
            return "blocked"
        return None


def _identity(texts: Mapping[str, str], prints: Mapping[str, str], mark: str) -> int:
    """Equal for rows that differ only in case, punctuation and spaces, whatever the order of their columns."""
    parts: Iterable[str] = (f"{column}\n{prints[column] or texts[column]}" for column in sorted(texts))
    return hash64("\n".join((*parts, mark)))


def script_share(name: str) -> Callable[[str], float]:
    """A function that says which share of a text's letters is of the Unicode script `name`; 1 where it has no letter.

    Several scripts are joined with a plus: Han+Hiragana+Katakana; a letter that several of them have is of each. Raises
    DataError for a script that there is none of.
    """
    mine = regex.compile(rf"[\p{{L}}&&[{''.join(map(_letters, name.split('+')))}]]+", regex.V1)

    def share(text: str) -> float:
        letters = sum(map(len, _LETTERS.findall(text)))
        return sum(map(len, mine.findall(text))) / letters if letters else 1.0

    return share


def _letters(script: str) -> str:
    """A script's characters and those that it shares with others, for a character class."""
    letters = rf"\p{{Script_Extensions={script.strip()}}}"
    try:
        regex.compile(letters)
    except regex.error as error:
        raise DataError(
            f"cleaning.scripts: {script.strip()!r} is no Unicode script; such are Latin, Hangul, Cyrillic and Han"
        ) from error
    return letters
