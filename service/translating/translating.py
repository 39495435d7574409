"""One file, from its bytes to those of its translation. Knows neither where it lies nor who looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from service.documents.document import Document, Problem, Text
from service.documents.formats import Reading, read
from service.translating.crew import Crew, Lost, Outcome
from service.translating.files import Job
from service.translating.journal import Journal, path_for
from service.translating.translator import Translator

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
    """The translated file. Unusable where the translator cannot be used: the journal has what was done."""
    work = InProgress(document, journal)
    translate_all(work, translator, tell)
    return work.written()


def translate_all(work: InProgress, translator: Translator, tell: Tell) -> None:
    """Whatever is missing of it. Raises Unusable."""
    tell(work.done, work.total)
    missing = work.missing
    for index, outcome in Crew(translator, missing).outcomes():
        work.take(key(missing[index]), outcome)
        tell(work.done, work.total)


Key = tuple[str, str]  # texts that have the same are translated once


def key(text: Text) -> Key:
    return text.text, text.format


class InProgress:
    """A document whose texts are translated in any order, and kept in a journal; as a context, which is closed then."""

    def __init__(self, document: Document, journal: Journal) -> None:
        self.journal = journal
        self._document = document
        firsts = {key(text): text for text in reversed(document.texts)}
        wanted = {key(text): text for text in reversed(firsts.values())}
        found = {each: journal.get(text) for each, text in wanted.items()}
        self._found = {each: translation for each, translation in found.items() if translation is not None}
        self._missing = {each: text for each, text in wanted.items() if each not in self._found}
        self._lost: dict[Key, str] = {}
        self._known = len(self._found)
        self.total = _characters(wanted)
        self.done = _characters(self._found)

    def __enter__(self) -> InProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.journal.close()

    @property
    def missing(self) -> list[Text]:
        """Nothing is known of these yet."""
        return list(self._missing.values())

    def take(self, of: Key, outcome: Outcome) -> None:
        """What became of one of those that are missing; of others it says nothing."""
        text = self._missing.pop(of, None)
        if text is None:
            return
        if isinstance(outcome, Lost):
            self._lost[of] = outcome.reason
        else:
            self.journal.add(text, outcome)
            self._found[of] = outcome
        self.done += len(text.text)

    def written(self) -> tuple[bytes, Report]:
        """With every translation that there is."""
        texts = self._document.texts
        found = [self._found.get(key(text)) for text in texts]
        written = self._document.written([None if each is None else each.text for each in found])
        failed = [Problem(text.place, self._lost[key(text)]) for text in texts if key(text) in self._lost]
        doubts = [
            Problem(text.place, f"its translation ended by {each.finish_reason}")
            for text, each in zip(texts, found, strict=True)
            if each is not None and each.finish_reason
        ]
        characters = sum(len(text.text) for text in texts)
        report = Report(
            len(texts), characters, self._known, tuple(failed), written.problems, tuple(doubts), written.notes
        )
        return written.data, report


@dataclass(frozen=True)
class Opening:
    """How the files of a command are opened: here, or in another process."""

    reading: Reading
    format: str | None  # ending that says it where the name does not
    settings: str  # what a translation depends on besides its text

    def __call__(self, job: Job) -> InProgress:
        """Raises DocumentError and OSError."""
        name = f"{job.source.stem}.{self.format}" if self.format else job.source.name
        document = read(name, job.source.read_bytes(), self.reading)
        return InProgress(document, Journal(path_for(job.output), self.settings))


def _characters(keys: Iterable[Key]) -> int:
    return sum(len(text) for text, _ in keys)
