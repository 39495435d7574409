"""One file, from its bytes to those of its translation. Knows neither where it lies nor who looks on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.documents.document import Document, Problem, Written
from service.documents.formats import Reading, read
from service.translating.crew import Crew, Lost
from service.translating.journal import Journal
from service.translating.translator import Translation, Translator

Tell = Callable[[int, int], None]  # characters done, of how many


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a file."""

    texts: int
    characters: int
    known: int  # texts that the journal had
    failed: tuple[Problem, ...]  # texts without a translation: the translator may be asked again
    unread: tuple[Problem, ...]  # what is left as it was for other reasons
    doubts: tuple[Problem, ...]  # translations that did not come to their end
    notes: tuple[str, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.failed + self.unread


def translate(
    name: str, data: bytes, reading: Reading, translator: Translator, journal: Journal, tell: Tell
) -> tuple[bytes, Report]:
    """The translated file; DocumentError where it cannot be read, else as `translate_document`."""
    return translate_document(read(name, data, reading), translator, journal, tell)


def translate_document(
    document: Document, translator: Translator, journal: Journal, tell: Tell
) -> tuple[bytes, Report]:
    """The translated file. Texts that stand in it several times are asked for once.

    Unusable where the translator cannot be used: the journal has what was done.
    """
    places = {(text.text, text.format): text for text in reversed(document.texts)}
    wanted = list(reversed(places.values()))
    total = sum(len(text.text) for text in wanted)
    outcomes = {text: translation for text in wanted if (translation := journal.get(text)) is not None}
    known, done = len(outcomes), sum(len(text.text) for text in outcomes)
    tell(done, total)
    missing = [text for text in wanted if text not in outcomes]
    lost: dict[tuple[str, str], str] = {}
    for index, outcome in Crew(translator, missing).outcomes():
        text = missing[index]
        if isinstance(outcome, Lost):
            lost[text.text, text.format] = outcome.reason
        else:
            journal.add(text, outcome)
            outcomes[text] = outcome
        done += len(text.text)
        tell(done, total)
    by_text: dict[tuple[str, str], Translation] = {(text.text, text.format): each for text, each in outcomes.items()}
    found = [by_text.get((text.text, text.format)) for text in document.texts]
    written: Written = document.written([None if each is None else each.text for each in found])
    failed = [Problem(text.place, lost[key]) for text in document.texts if (key := (text.text, text.format)) in lost]
    doubts = [
        Problem(text.place, f"its translation ended by {each.finish_reason}")
        for text, each in zip(document.texts, found, strict=True)
        if each is not None and each.finish_reason
    ]
    characters = sum(len(text.text) for text in document.texts)
    report = Report(
        len(document.texts), characters, known, tuple(failed), written.problems, tuple(doubts), written.notes
    )
    return written.data, report
