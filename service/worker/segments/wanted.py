"""What a sentence's translation must have: its protected pieces, what a glossary says of its words, and its capitals.

Where the translation has not said it by itself, it is put in the place of the words that are aligned with it. Knows
nothing of tokens, requests or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.messages import Alignment
from service.worker.segments.capitals import raised
from service.worker.segments.glossary import Term
from service.worker.segments.placing import Placed, place
from service.worker.segments.protection import Hidden


@dataclass(frozen=True, slots=True)
class Wanted:
    hidden: Hidden
    terms: tuple[Term, ...] = ()
    capitals: bool = False  # the sentence is written in them, and so is its translation

    def __bool__(self) -> bool:
        return bool(self.hidden.originals or self.terms or self.capitals)

    @property
    def aligned(self) -> bool:
        """Whether the alignment may be needed."""
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
            translation, alignment = place(translation, missing, alignment, before)
        else:
            translation = " ".join([translation, *(each.text for each in missing)]).lstrip(" ")
        if self.capitals:
            translation = raised(translation, [said for texts in self.texts() for said in texts])
        return translation, alignment

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
