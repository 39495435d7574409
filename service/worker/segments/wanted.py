"""What a sentence's translation must have: its protected pieces, and what a glossary says of its words.

Where the translation has not said it by itself, it is put in the place of the words that are aligned with it. Knows
nothing of tokens, requests or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.messages import Alignment
from service.worker.segments.glossary import Term
from service.worker.segments.placing import Placed, place
from service.worker.segments.protection import Hidden


@dataclass(frozen=True, slots=True)
class Wanted:
    hidden: Hidden
    terms: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hidden.originals or self.terms)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Each, and as what it begins a translation."""
        for stand_in, _ in self.hidden.originals:
            yield stand_in, stand_in
        for term in self.terms:
            yield term.target, term.first

    def finished(self, translation: str, alignment: Alignment | None, before: str = "") -> str:
        """The translation with all of it, and no space in front. `alignment` is of what comes after `before`."""
        return self.hidden.restored(self.completed(translation, alignment, before)[0]).lstrip(" ")

    def completed(
        self, translation: str, alignment: Alignment | None, before: str = ""
    ) -> tuple[str, Alignment | None]:
        """The same with the stand-ins as they are, and its alignment."""
        missing = [*self._missing_stand_ins(translation), *self._missing_terms(translation)]
        if missing and alignment is not None:
            return place(translation, missing, alignment, before)
        return " ".join([translation, *(each.text for each in missing)]).lstrip(" "), alignment

    def _missing_stand_ins(self, translation: str) -> Iterator[Placed]:
        for stand_in in self.hidden.missing(translation):
            start = self.hidden.text.index(stand_in)
            yield Placed(start, start + len(stand_in), stand_in, stand_in)

    def _missing_terms(self, translation: str) -> Iterator[Placed]:
        there = {each.target: len(re.findall(_whole(each.target), translation, re.IGNORECASE)) for each in self.terms}
        for term in self.terms:
            if there[term.target]:
                there[term.target] -= 1
            else:
                yield Placed(term.start, term.end, term.target, term.first)


def _whole(words: str) -> str:
    return rf"(?<!\w){re.escape(words)}(?![a-zA-Z\u00c0-\u024f0-9])"
