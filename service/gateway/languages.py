"""Finds the language pair a client means. Knows nothing of HTTP and of models: pairs in, pair out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from service.errors import InvalidRequest, UnknownLanguagePair

Pair = tuple[str, str]


def resolve_pair(pairs: Sequence[Pair], source: str | None, target: str | None, parameters: str) -> Pair:
    """The one pair of the model's `pairs` that fits; None fits every language. `parameters` are what says them.

    Codes are compared without case and without what follows the language: `en`, `EN`, `en-US`, `en_XX` and `en_Latn`
    are one. Where a model tells such variants apart, the exact code decides.
    """
    fitting = [pair for pair in pairs if _fits(source, pair[0]) and _fits(target, pair[1])]
    exact = [pair for pair in fitting if _is(source, pair[0]) and _is(target, pair[1])]
    if len(fitting) == 1 or len(exact) == 1:
        return (exact if len(exact) == 1 else fitting)[0]
    available = [f"{one}-{other}" for one, other in pairs]
    asked = f"{_shown(source)}-{_shown(target)}"
    if not fitting:
        raise UnknownLanguagePair(
            f"no translation for {asked}; available: {', '.join(available)}",
            language_pair=asked,
            available=available,
        )
    possible = [f"{one}-{other}" for one, other in fitting]
    raise InvalidRequest(f"{parameters} leave more than one language pair: {', '.join(possible)}", possible=possible)


def _base(code: str) -> str:
    return re.split(r"[-_]", code.strip().lower(), maxsplit=1)[0]


def _fits(asked: str | None, code: str) -> bool:
    return asked is None or _base(asked) == _base(code)


def _is(asked: str | None, code: str) -> bool:
    return asked is None or asked.strip().lower().replace("_", "-") == code.lower().replace("_", "-")


def _shown(code: str | None) -> str:
    return "any" if code is None else code[:40]
