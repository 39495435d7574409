"""Many texts, a few requests at a time: as many as the service has room for, and each text to its end.

Knows neither files nor what is done with a translation: whoever iterates gets each as it comes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from service.documents.document import Text
from service.translating.translator import Busy, Failed, Gone, Translation, Translator, Unusable

TEXTS = 16  # of a request ...
CHARACTERS = 4_000  # ... which is as much as is lost and asked again where one fails
FIRST_LIMIT = 2  # requests at once: one more with each that is answered, half where there is no room
PATIENCE_S = 60.0  # with a service that is gone: it may be started again
GONE_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Lost:
    """A text without a translation."""

    reason: str


Outcome = Translation | Lost
Batch = list[tuple[int, Text]]


class Crew:
    def __init__(self, translator: Translator, texts: Sequence[Text]) -> None:
        self._translator = translator
        self._count = len(texts)
        self._waiting = deque(_batches(texts))
        self._outcomes: SimpleQueue[list[tuple[int, Outcome]] | Unusable] = SimpleQueue()
        self._changed = threading.Condition()
        self._limit, self._running = FIRST_LIMIT, 0
        self._not_before = 0.0
        self._in_vain_since: float | None = None  # the first of the requests that nothing came of
        self._stopped = False

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Each text's place among them, and what became of it. Raises Unusable where no more can be translated."""
        threads = [
            threading.Thread(target=self._work, daemon=True)
            for _ in range(min(self._translator.at_once, len(self._waiting)))
        ]
        for thread in threads:
            thread.start()
        try:
            left = self._count
            while left:
                done = self._outcomes.get()
                if isinstance(done, Unusable):
                    raise done
                left -= len(done)
                yield from done
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            try:
                self._ask(batch)
            except Unusable as error:
                self._outcomes.put(error)
            except Exception as error:  # whoever waits for these texts must hear of it
                self._outcomes.put(Unusable(f"{type(error).__name__}: {error}"))
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()

    def _take(self) -> Batch | None:
        """What is next, once there is room for it; None when all is done."""
        with self._changed:
            while not self._stopped:
                pause = self._not_before - time.monotonic()
                if self._waiting and self._running < self._limit and pause <= 0:
                    self._running += 1
                    return self._waiting.popleft()
                self._changed.wait(pause if pause > 0 else None)
        return None

    def _ask(self, batch: Batch) -> None:
        try:
            translations = self._translator.translate([text for _, text in batch])
        except Busy as busy:
            patience_s = self._translator.patience_s
            self._bear(patience_s, f"has had no room for {patience_s:g} s: {busy.reason}")
            self._put_back(_halves(batch), busy.retry_after_s)  # all of it may be more than there ever is room for
        except Gone as gone:
            self._bear(PATIENCE_S, f"is gone: {gone}")
            self._put_back([batch], GONE_PAUSE_S)
        except Failed as failed:
            self._part(batch, failed)
        else:
            with self._changed:
                self._in_vain_since = None
                self._limit = min(self._limit + 1, self._translator.at_once)
            self._outcomes.put(
                [(index, translation) for (index, _), translation in zip(batch, translations, strict=True)]
            )

    def _put_back(self, batches: Sequence[Batch], pause_s: float = 0.0) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(batches))
            if pause_s:
                self._limit = max(self._limit // 2, 1)
                self._not_before = max(self._not_before, time.monotonic() + pause_s)
            self._changed.notify_all()

    def _bear(self, patience_s: float, reason: str) -> None:
        now = time.monotonic()
        with self._changed:
            self._in_vain_since = self._in_vain_since or now
            for_s = now - self._in_vain_since
        if for_s >= patience_s:
            raise Unusable(f"{self._translator.called} {reason}")

    def _part(self, batch: Batch, failed: Failed) -> None:
        """What fails fails alone: the text that the error names, or that is left of ever smaller parts."""
        if len(batch) == 1:
            self._outcomes.put([(batch[0][0], Lost(failed.reason))])
        elif failed.index is not None:
            self._outcomes.put([(batch[failed.index][0], Lost(failed.reason))])
            self._put_back([batch[: failed.index] + batch[failed.index + 1 :]])
        else:
            self._put_back(_halves(batch))


def _halves(batch: Batch) -> list[Batch]:
    half = len(batch) // 2
    return [part for part in (batch[:half], batch[half:]) if part]


def _batches(texts: Sequence[Text]) -> Iterator[Batch]:
    batch: Batch = []
    characters = 0
    for index, text in enumerate(texts):
        characters += len(text.text)
        if batch and (len(batch) >= TEXTS or characters > CHARACTERS):
            yield batch
            batch, characters = [], len(text.text)
        batch.append((index, text))
    if batch:
        yield batch
