"""A robustness suite: short texts as people type them, and what has to hold of the translation of each.

A suite is a folder of YAML files, one for each direction ("fr-en.yaml"), with lists of cases by their kind. Knows
nothing of models: who translates gives the outputs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from models import formats
from models.config import ConfigError
from models.training.evaluation.metrics import interval
from models.training.evaluation.repetition import loops
from models.training.fields import read_fields

Kind = Literal[
    "greeting",
    "capitals",
    "no_punctuation",
    "lower_case",
    "word",
    "copied",
    "request",
    "emoji",
    "junk",
    "empty",  # nothing to translate: white space, punctuation, emoji alone
    "sentences",  # two to four
    "typing_slip",
    "no_accents",
    "spaces",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Direction = tuple[str, str]  # source and target language
# Texts, source and target language; None where the service refuses a text because it is empty.
Answer = Callable[[Sequence[str], str, str], Sequence[str | None]]

_SEPARATORS = r"[\W_]+"
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})
# Where a Latin word or a number begins or ends; Hangul is next to either without a space, and inside longer words.
_LATIN = "0-9A-Z_a-zÀ-ÖØ-öø-ÿ"
_EDGE = rf"(?:(?<![{_LATIN}])|(?![{_LATIN}]))"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pattern is text with alternatives, `Good (morning|day) | Hello( there|)`, compared without case, punctuation
    and white space.
    """

    kind: Kind
    source: str
    accept: str = ""  # pattern of the whole output
    words: tuple[str, ...] = ()  # patterns of words, each of which the output has, in any order
    copied: tuple[str, ...] = ()  # pieces of the source that the output has as they are

    def __post_init__(self) -> None:
        for pattern in (self.accept, *self.words):
            try:
                re.compile(_expression(pattern, ""))
            except re.error as error:
                raise ConfigError(f"{self.source!r}: the pattern {pattern!r} cannot be read: {error}") from error
            if pattern and re.fullmatch(_expression(pattern, ""), ""):
                raise ConfigError(f"{self.source!r}: the pattern {pattern!r} also fits an output without words")
        lost = [piece for piece in self.copied if not has_whole(self.source, piece)]
        if lost:
            raise ConfigError(f"{self.source!r} does not have {lost[0]!r}, which is to be copied from it")
        if not (self.wordless or self.accept or self.words or self.copied):
            raise ConfigError(f"{self.source!r} has words: say what is right with accept, words or copied")

    @property
    def wordless(self) -> bool:
        """Without a letter or a digit: nothing may be invented."""
        return not _has_words(self.source)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    case: Case
    output: str | None  # None: refused as empty
    loops: bool
    invents: bool  # says words where the source has none
    whole: bool  # every piece to be copied is there
    right: bool  # none of the above is wrong, and the words are accepted

    @classmethod
    def of(cls, case: Case, output: str | None) -> Verdict:
        text = output or ""
        looping, inventing = loops(case.source, text), case.wordless and _has_words(text)
        whole = all(has_whole(text, piece) for piece in case.copied)
        return cls(
            case=case,
            output=output,
            loops=looping,
            invents=inventing,
            whole=whole,
            right=not looping and not inventing and whole and _accepted(case, text),
        )

    @property
    def failures(self) -> list[str]:
        """What is wrong, in a word each; nothing where it is right."""
        found = {"loops": self.loops, "invents": self.invents, "lost a piece": not self.whole}
        named = [name for name, holds in found.items() if holds]
        return named if named or self.right else ["wrong"]

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.case.kind,
            "source": self.case.source,
            "output": self.output,
            "right": self.right,
            "failures": self.failures,
        }


@dataclass(frozen=True)
class Share:
    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, with 95 % certainty; of nothing, anything may be."""
        return interval(self.count, self.of) if self.of else (0.0, 1.0)

    def to_dict(self, name: str) -> dict[str, Any]:
        """Nothing where there is nothing to have a share of."""
        if not self.of:
            return {}
        return {
            name: round(self.count / self.of, 4),
            f"{name}_count": self.count,
            f"{name}_of": self.of,
            f"{name}_interval": [round(bound, 4) for bound in self.interval],
        }


@dataclass(frozen=True)
class Tally:
    """What holds of how many cases."""

    verdicts: tuple[Verdict, ...]

    def only(self, *kinds: Kind) -> Tally:
        return Tally(tuple(verdict for verdict in self.verdicts if verdict.case.kind in kinds))

    @property
    def by_kind(self) -> dict[Kind, Tally]:
        return {kind: self.only(kind) for kind in KINDS if self.only(kind).verdicts}

    @property
    def wrong(self) -> list[Verdict]:
        """What loops first, then what invents, then what loses a piece."""
        found = [verdict for verdict in self.verdicts if not verdict.right]
        return sorted(found, key=lambda verdict: (not verdict.loops, not verdict.invents, verdict.whole))

    @property
    def right(self) -> Share:
        return self._share("right", self.verdicts)

    @property
    def greetings_and_capitals(self) -> Share:
        return self.only("greeting", "capitals").right

    @property
    def looping(self) -> Share:
        return self._share("loops", self.verdicts)

    @property
    def inventing(self) -> Share:
        """Of the cases without words."""
        return self._share("invents", [verdict for verdict in self.verdicts if verdict.case.wordless])

    @property
    def copied(self) -> Share:
        """Whole, of the cases with pieces to be copied."""
        return self._share("whole", [verdict for verdict in self.verdicts if verdict.case.copied])

    def to_dict(self) -> dict[str, Any]:
        return {
            "cases": len(self.verdicts),
            **self.right.to_dict("right"),
            **self.greetings_and_capitals.to_dict("greetings_and_capitals"),
            **self.looping.to_dict("loops"),
            **self.inventing.to_dict("invents"),
            **self.copied.to_dict("copied"),
        }

    def _share(self, what: str, among: Sequence[Verdict]) -> Share:
        return Share(sum(getattr(verdict, what) for verdict in among), len(among))


def read_suite(path: Path) -> dict[Direction, list[Case]]:
    """Of a folder, or of one direction's file. Raises ConfigError, which names the file and the case, and OSError."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"{path} has no file of cases, such as fr-en.yaml")
    return {_direction(file): _read_cases(file) for file in files}


def run_suite(suite: Mapping[Direction, Sequence[Case]], answer: Answer) -> dict[Direction, Tally]:
    found = {}
    for (source, target), cases in suite.items():
        outputs = answer([case.source for case in cases], source, target)
        verdicts = (Verdict.of(case, output) for case, output in zip(cases, outputs, strict=True))
        found[source, target] = Tally(tuple(verdicts))
    return found


def together(tallies: Mapping[Direction, Tally]) -> Tally:
    """Of all directions."""
    return Tally(tuple(verdict for tally in tallies.values() for verdict in tally.verdicts))


def report(tallies: Mapping[Direction, Tally]) -> dict[str, Any]:
    """Everything, as plain values: the shares of all, of each direction and of its kinds, and each output."""
    return {
        "all": together(tallies).to_dict(),
        **{
            "-".join(pair): {
                **tally.to_dict(),
                "by_kind": {kind: of_kind.to_dict() for kind, of_kind in tally.by_kind.items()},
                "outputs": [verdict.to_dict() for verdict in tally.verdicts],
            }
            for pair, tally in tallies.items()
        },
    }


def has_whole(text: str, piece: str) -> bool:
    """Whether the piece stands there letter by letter, and is no part of a longer word or number."""
    text, piece = formats.normalize(text), formats.normalize(piece)
    before = r"(?<!\d[.,])" if piece[:1].isdigit() else ""
    after = r"(?![.,]\d)" if piece[-1:].isdigit() else ""
    return re.search(before + _EDGE + re.escape(piece) + _EDGE + after, text) is not None


def _accepted(case: Case, output: str) -> bool:
    spaced = re.sub(_SEPARATORS, " ", _plain(output)).strip()
    if case.accept and not re.fullmatch(_expression(case.accept, ""), spaced.replace(" ", "")):
        return False
    expressions = (_expression(pattern, " ?") for pattern in case.words)
    return all(re.search(_EDGE + expression + _EDGE, spaced) for expression in expressions)


def _expression(pattern: str, gap: str) -> str:
    """The regular expression of a pattern, with `gap` for what is between its words."""
    parts = re.split(r"([()|])", pattern)
    written = "".join(
        {"(": "(?:", "|": "|", ")": ")"}.get(part) or re.sub(_SEPARATORS, gap, _plain(part)) for part in parts
    )
    return f"(?:{written})"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().translate(_LIGATURES)


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


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
                cases.append(read_fields(Case, given, f"{kind}[{number}]"))
            except ConfigError as error:
                raise ConfigError(f"{file}: {error}") from error
    if not cases:
        raise ConfigError(f"{file} has no cases")
    return cases
