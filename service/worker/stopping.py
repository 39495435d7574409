"""Stop strings: found in the text across the borders of tokens, and never shown.

Of several occurrences the one that is complete first counts, and of those the longest, so that it does not matter how
the text is cut into tokens. Knows nothing of the engine, which only hears that a sequence has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from models.tokenizer import IncrementalDetokenizer


def before_stop(text: str, stop: Sequence[str]) -> str:
    """What comes before the first stop string; all of it where there is none."""
    return text[: _find(text, stop)]


def _find(text: str, stop: Sequence[str]) -> int | None:
    """Where the first occurrence starts."""
    found = [(start + len(each), start) for each in stop if (start := text.find(each)) >= 0]
    return min(found)[1] if found else None


class StopMatcher:
    """Fed with pieces of a text, lets through what can no longer become part of a stop string."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = stop
        self._held = ""  # the longest end of the text so far that a stop string may start with
        self.stopped = False

    def push(self, piece: str) -> str:
        """What may be shown now. Nothing after a stop string."""
        if self.stopped or not piece:
            return ""
        text = self._held + piece
        start = _find(text, self._stop)
        if start is not None:
            self.stopped, self._held = True, ""
            return text[:start]
        held = max(_overlap(text, each) for each in self._stop)
        shown, self._held = text[: len(text) - held], text[len(text) - held :]
        return shown

    def flush(self) -> str:
        """What was held back: the text is over."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` starts with, without being it."""
    return next(size for size in range(min(len(text), len(stop) - 1), -1, -1) if text.endswith(stop[:size]))


class StopWatch:
    """Watches one sequence: the engine asks it after each token whether the text has come to a stop string.

    It runs in the engine's thread; a token costs what its detokenization and a search in a short text cost. For a
    stream it is the detokenizer, too, which says what it let through: another thread may read a token's piece once the
    engine has told of the token, and the rest once the sequence has ended.
    """

    def __init__(self, detokenizer: IncrementalDetokenizer, stop: tuple[str, ...]) -> None:
        self.stop = stop
        self._detokenizer = detokenizer
        self._matcher = StopMatcher(stop)
        self._pieces: deque[str] = deque()  # that no stream has read yet

    def __call__(self, token: int) -> bool:
        self._pieces.append(self._matcher.push(self._detokenizer.push(token)))
        return self._matcher.stopped

    def push(self, id: int) -> str:
        return self._pieces.popleft()

    def flush(self) -> str:
        # In this order: the last bytes may complete a stop string, or show that what was held back is none.
        return self._matcher.push(self._detokenizer.flush()) + self._matcher.flush()
