"""Finds the language pair a client means, by what it says or by what was detected.

Knows nothing of HTTP, of models and of how languages are detected: pairs in, pair out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import InvalidRequest, UnknownLanguagePair
from service.gateway.detection import Ranking
from service.gateway.iso639 import language_and_variant

Pair = tuple[str, str]

AUTO = "auto"
SURE = 0.9  # that a text is in the language it is wanted in: below it, it is translated


@dataclass(frozen=True, slots=True)
class Choice:
    """The languages that a call asks for. None leaves one open; the source `auto` has that of each text found out."""

    source: str | None
    target: str | None
    said: str  # what the call says them with

    @property
    def is_auto(self) -> bool:
        return is_auto(self.source)

    def possible(self, pairs: Sequence[Pair]) -> list[str] | None:
        """What each text may be in, where that is to be found out."""
        return possible_languages(pairs, self.target) if self.is_auto else None

    def of(self, pairs: Sequence[Pair], rankings: Sequence[Ranking], count: int) -> list[Pair]:
        """The pair of each of `count` texts; `rankings` are those of the `possible` languages."""
        if self.is_auto:
            return [detected_pair(pairs, ranking, self.target, self.said) for ranking in rankings]
        return [resolve_pair(pairs, self.source, self.target, self.said)] * count


def is_auto(source: str | None) -> bool:
    return source is not None and source.strip().casefold() == AUTO


def resolve_pair(pairs: Sequence[Pair], source: str | None, target: str | None, parameters: str) -> Pair:
    """The one pair of the model's `pairs` that fits; None fits every language. `parameters` are what says them.

    A language may be said by any of its codes, with a script or a region, or by its English name. Where a model tells
    variants apart, the one that is named counts.
    """
    fitting = [pair for pair in pairs if _fits(source, pair[0]) and _fits(target, pair[1])]
    if not fitting:
        raise _unknown(pairs, source, target)
    for side, asked in enumerate((source, target)):
        if asked is not None:
            written = [pair for pair in fitting if _is_written(asked, pair[side])]
            fitting = written or [pair for pair in fitting if _is_variant(asked, pair[side])] or fitting
    if len(fitting) == 1:
        return fitting[0]
    possible = [f"{one}-{other}" for one, other in fitting]
    raise InvalidRequest(f"{parameters} leave more than one language pair: {', '.join(possible)}", possible=possible)


def possible_languages(pairs: Sequence[Pair], target: str | None) -> list[str]:
    """What a text may be in that is to be translated into `target`: sources of its pairs, and `target` itself."""
    fitting = [pair for pair in pairs if _fits(target, pair[1])]
    if not fitting:
        raise _unknown(pairs, AUTO, target)
    targets = [] if target is None else [pair[1] for pair in fitting]
    return list(dict.fromkeys([*(pair[0] for pair in fitting), *targets]))


def detected_pair(pairs: Sequence[Pair], ranking: Ranking, target: str | None, parameters: str) -> Pair:
    """The pair for a text that is in one of `possible_languages`, by their ranking.

    Of a text that is in its target language already, both are that language; where this is not sure, it is taken for
    one in the likeliest language that can be translated.
    """
    sources = {pair[0] for pair in pairs if _fits(target, pair[1])}
    first = ranking[0]
    if first.language not in sources and first.score >= SURE:
        return first.language, first.language
    source = next(each.language for each in ranking if each.language in sources)
    return resolve_pair([pair for pair in pairs if pair[0] == source], source, target, parameters)


def _fits(asked: str | None, code: str) -> bool:
    return asked is None or language_and_variant(asked)[0] == language_and_variant(code)[0]


def _is_variant(asked: str, code: str) -> bool:
    return language_and_variant(asked) == language_and_variant(code)


def _is_written(asked: str, code: str) -> bool:
    return asked.strip().lower().replace("_", "-") == code.lower().replace("_", "-")


def _unknown(pairs: Sequence[Pair], source: str | None, target: str | None) -> UnknownLanguagePair:
    available = [f"{one}-{other}" for one, other in pairs]
    asked = f"{_shown(source)}-{_shown(target)}"
    return UnknownLanguagePair(
        f"no translation for {asked}; available: {', '.join(available)}", language_pair=asked, available=available
    )


def _shown(code: str | None) -> str:
    return "any" if code is None else code[:40]
