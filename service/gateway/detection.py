"""Finds out which language a text is in, among some that it may be in.

Knows nothing of HTTP, of models and of language pairs. The library is loaded when it is asked for the first time: who
never asks pays nothing.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from service.iso639 import language_and_variant

_TAG = re.compile(r"<[^<>]*>")
LOOKED_AT = 500  # characters of a text: they cost less than a millisecond, and more of them change no answer


@dataclass(frozen=True, slots=True)
class LanguageScore:
    language: str  # as it was asked for
    score: float  # 0 to 1


Ranking = Sequence[LanguageScore]  # the likeliest first; the scores sum to 1


@dataclass(frozen=True, slots=True)
class ToDetect:
    texts: Sequence[str]
    languages: Sequence[str]  # which any of them may be in; at least one


class Detection:
    """In a thread of its own, one call at a time: the event loop shares the interpreter with one thread at most."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="detection")
        self._detector: Any = None
        self._loaded: frozenset[Any] = frozenset()

    async def rank(self, asked: ToDetect) -> list[Ranking]:
        """Of each text all the languages. One that the library does not know comes last, with 0.

        A text that says nothing, since it has no letters or none that any of the languages is written with, may be in
        each of them as well as in another.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._rank_all, asked)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _rank_all(self, asked: ToDetect) -> list[Ranking]:
        known = {code: _known(code) for code in asked.languages}
        # Two codes that the library cannot tell apart are one to it, the first.
        told_apart = {languages or code: code for code, languages in reversed(known.items())}
        codes = [code for code, languages in known.items() if told_apart[languages or code] == code]
        self._load(language for languages in known.values() for language in languages)
        rankings: list[Ranking] = []
        for text in asked.texts:
            found = self._scores(_telling(text))
            scores = [sum(found.get(language, 0.0) for language in known[code]) for code in codes]
            total = sum(scores)
            shares = [score / total for score in scores] if total else [1 / len(codes)] * len(codes)
            ranked = [LanguageScore(code, round(share, 4)) for code, share in zip(codes, shares, strict=True)]
            rankings.append(sorted(ranked, key=lambda each: -each.score))
        return rankings

    def _load(self, languages: Iterable[Any]) -> None:
        """What is loaded stays: a model that comes to be served later adds its languages."""
        wanted = self._loaded.union(languages)
        if wanted == self._loaded:
            return
        from langidentify import Detector, Model

        if self._loaded:
            Model.clear_cache()
        self._detector = Detector(Model.load_lite(sorted(wanted, key=lambda language: language.iso_code)))
        self._loaded = wanted

    def _scores(self, text: str) -> dict[Any, float]:
        """Probabilities of the languages that are written with the letters that most of the text has."""
        if self._detector is None:
            return {}
        self._detector.detect(text)
        results, model = self._detector.results, self._detector.model
        if results.predominant_alpha_idx < 0:
            return {}
        indices = model.lang_indices_for_alphabet(results.predominant_alpha_idx)
        # The library's scores are mean log-probabilities. Letters are no independent witnesses: what fits those of a
        # corpus that was kept apart is their number's square root, not their number.
        weight = math.sqrt(results.scores.num_chars())
        logits = [results.total_scores[index] * weight for index in indices]
        odds = [math.exp(logit - max(logits)) for logit in logits]
        return {model.languages[index]: each / sum(odds) for index, each in zip(indices, odds, strict=True)}


def _known(code: str) -> tuple[Any, ...]:
    """What the library calls a language; both ways to write Chinese, unless one is named; none of an unknown one."""
    from langidentify import Language

    language, variant = language_and_variant(code)
    names = [language]
    if language == "zh":
        names = [f"zh-{variant}"] if variant in ("hans", "hant") else ["zh-hans", "zh-hant"]
    found = (Language.from_string(name) for name in names)
    return tuple(each for each in found if each is not Language.UNKNOWN)


def _telling(text: str) -> str:
    """The beginning without tags and addresses, whose words are no language's; with them where nothing is left."""
    start = text[: 4 * LOOKED_AT]
    words = [word for word in _TAG.sub(" ", start).split() if "//" not in word and "@" not in word]
    return (" ".join(words) or start)[:LOOKED_AT]
