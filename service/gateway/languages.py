"""Finds the language pair a client means, by what it says or by what was detected.

Knows nothing of HTTP, of models and of how languages are detected: pairs in, pair out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from service.errors import InvalidRequest, UnknownLanguagePair
from service.gateway.detection import Ranking
from service.iso639 import language_and_variant

Pair = tuple[str, str]

AUTO = "auto"
MANY = 100  # pairs: more are not looked through for each request, nor all told to one that asks for another
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
    fitting = _fitting(pairs, source, target)
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
    fitting = _fitting(pairs, None, target)
    if not fitting:
        raise _unknown(pairs, AUTO, target)
    targets = [] if target is None else [pair[1] for pair in fitting]
    return list(dict.fromkeys([*(pair[0] for pair in fitting), *targets]))


def detected_pair(pairs: Sequence[Pair], ranking: Ranking, target: str | None, parameters: str) -> Pair:
    """The pair for a text that is in one of `possible_languages`, by their ranking.

    Of a text that is in its target language already, both are that language; where this is not sure, it is taken for
    one in the likeliest language that can be translated.
    """
    sources = {source for source, _ in _fitting(pairs, None, target)}
    first = ranking[0]
    if first.language not in sources and first.score >= SURE:
        return first.language, first.language
    source = next(each.language for each in ranking if each.language in sources)
    return resolve_pair(
        [pair for pair in _fitting(pairs, source, target) if pair[0] == source], source, target, parameters
    )


def _fitting(pairs: Sequence[Pair], source: str | None, target: str | None) -> Sequence[Pair]:
    """Those between the two languages, of whatever variants."""
    asked = tuple(None if each is None else language_and_variant(each)[0] for each in (source, target))
    if isinstance(pairs, tuple) and len(pairs) > MANY:
        return _index(_Known(pairs)).get(asked, ())
    return [
        pair for pair in pairs if all(one in (None, other) for one, other in zip(asked, _languages(pair), strict=True))
    ]


def _languages(pair: Pair) -> tuple[str, str]:
    return language_and_variant(pair[0])[0], language_and_variant(pair[1])[0]


class _Known:
    """The pairs of a model, which are one tuple as long as it is served: told apart from others by that alone."""

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        self.pairs = pairs

    def __hash__(self) -> int:
        return id(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self.pairs is other.pairs


@lru_cache(maxsize=8)
def _index(known: _Known) -> dict[tuple[str | None, ...], list[Pair]]:
    """By the two languages, and by one of them where the other is open."""
    found: dict[tuple[str | None, ...], list[Pair]] = {(None, None): list(known.pairs)}
    for pair in known.pairs:
        source, target = _languages(pair)
        for key in ((source, target), (source, None), (None, target)):
            found.setdefault(key, []).append(pair)
    return found


def _is_variant(asked: str, code: str) -> bool:
    return language_and_variant(asked) == language_and_variant(code)


def _is_written(asked: str, code: str) -> bool:
    return asked.strip().lower().replace("_", "-") == code.lower().replace("_", "-")


def _unknown(pairs: Sequence[Pair], source: str | None, target: str | None) -> UnknownLanguagePair:
    available = [f"{one}-{other}" for one, other in pairs[:MANY]]
    more = f" and {len(pairs) - MANY} more" if len(pairs) > MANY else ""
    asked = f"{_shown(source)}-{_shown(target)}"
    return UnknownLanguagePair(
        f"no translation for {asked}; available: {', '.join(available)}{more}", language_pair=asked, available=available
    )


def _shown(code: str | None) -> str:
    return "any" if code is None else code[:40]
