"""The cases of a robustness suite: short texts as people type them, and what is right of the translation of each.

A suite is a folder of YAML files, one for each direction ("fr-en.yaml"), with lists of cases by their kind.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Literal, Self, get_args

import yaml
from pydantic import model_validator

from models import formats
from models.config import ConfigError
from models.training.fields import RecipeError, Section, Texts

# "empty" has nothing to translate (white space, punctuation, emoji alone), "sentences" two to four.
Kind = Literal[
    "greeting", "capitals", "no_punctuation", "lower_case", "word", "copied", "request", "emoji", "junk", "empty",
    "sentences", "typing_slip", "no_accents", "spaces",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)

Direction = tuple[str, str]  # source and target language
_SEPARATORS = r"[\W_]+"
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})
# Where a Latin word or a number begins or ends; Hangul is next to either without a space, and inside longer words.
_LATIN = "0-9A-Z_a-zÀ-ÖØ-öø-ÿ"
_EDGE = rf"(?:(?<![{_LATIN}])|(?![{_LATIN}]))"


class Case(Section):
    """A pattern is text with alternatives, `Good (morning|day) | Hello( there|)`, compared without case, punctuation
    and white space.
    """

    kind: Kind
    source: str
    accept: str = ""  # pattern of the whole output
    words: Texts = ()  # patterns of words, each of which the output has, in any order
    copied: Texts = ()  # pieces of the source that the output has as they are

    @model_validator(mode="after")
    def _check(self) -> Self:
        for pattern in (*self.words, *filter(None, [self.accept])):
            try:
                fits_nothing = re.fullmatch(_expression(pattern, ""), "")
            except re.error as error:
                raise ValueError(f"{self.source!r}: the pattern {pattern!r} cannot be read: {error}") from error
            if fits_nothing:
                raise ValueError(f"{self.source!r}: the pattern {pattern!r} also fits an output without words")
        lost = [piece for piece in self.copied if not has_whole(self.source, piece)]
        if lost:
            raise ValueError(f"{self.source!r} does not have {lost[0]!r}, which is to be copied from it")
        if not (self.wordless or self.accept or self.words or self.copied):
            raise ValueError(f"{self.source!r} has words: say what is right with accept, words or copied")
        return self

    @property
    def wordless(self) -> bool:
        """Without a letter or a digit: nothing may be invented."""
        return not has_words(self.source)

    def accepts(self, output: str) -> bool:
        """Whether its words are right; the copied pieces are another matter."""
        spaced = re.sub(_SEPARATORS, " ", _plain(output)).strip()
        if self.accept and not re.fullmatch(_expression(self.accept, ""), spaced.replace(" ", "")):
            return False
        expressions = (_expression(pattern, " ?") for pattern in self.words)
        return all(re.search(_EDGE + expression + _EDGE, spaced) for expression in expressions)


def read_suite(path: Path) -> dict[Direction, list[Case]]:
    """Of a folder, or of one direction's file. Raises ConfigError, which names the file and the case, and OSError."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"{path} has no file of cases, such as fr-en.yaml")
    return {_direction(file): _read_cases(file) for file in files}


def has_whole(text: str, piece: str) -> bool:
    """Whether the piece stands there letter by letter, and is no part of a longer word or number."""
    text, piece = formats.normalize(text), formats.normalize(piece)
    before = r"(?<!\d[.,])" if piece[:1].isdigit() else ""
    after = r"(?![.,]\d)" if piece[-1:].isdigit() else ""
    return re.search(before + _EDGE + re.escape(piece) + _EDGE + after, text) is not None


def has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _expression(pattern: str, gap: str) -> str:
    """The regular expression of a pattern, with `gap` for what is between its words."""
    parts = re.split(r"([()|])", pattern)
    written = "".join(
        {"(": "(?:", "|": "|", ")": ")"}.get(part) or re.sub(_SEPARATORS, gap, _plain(part)) for part in parts
    )
    return f"(?:{written})"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().translate(_LIGATURES)


def _direction(file: Path) -> Direction:
    source, dash, target = file.stem.partition("-")
    if not (source and dash and target):
        raise ConfigError(f"{file}: its name is no direction, such as fr-en.yaml")
    return source, target


def _read_cases(file: Path) -> list[Case]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(each, list) for each in values.values()):
        raise ConfigError(f"{file}: expected lists of cases by their kind, one of {', '.join(KINDS)}")
    cases = []
    for kind, listed in values.items():
        for number, value in enumerate(listed, start=1):
            given = {"kind": kind, **value} if isinstance(value, dict) else value
            try:
                cases.append(Case.read(given, f"{kind}[{number}]"))
            except RecipeError as error:
                raise ConfigError(f"{file}: {error}") from error
    if not cases:
        raise ConfigError(f"{file} has no cases")
    return cases
