"""The sequences of one request that wait for others of it, so that a long text leaves room for other requests.

Plain book-keeping: knows nothing of threads and of the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from service.engine.sequence import Sequence


class Backlog:
    """Lets as many go at once as fill `slots`, with prompts of at most `tokens` together; one goes in any case."""

    def __init__(self, sequences: Iterable[Sequence], *, slots: int, tokens: int) -> None:
        self._waiting = deque(sequences)
        self._slots, self._tokens = slots, tokens
        self._gone = 0  # and not back

    def take(self) -> list[Sequence]:
        """Those whose turn it is, in their order. Who is cancelled waits for nobody."""
        found = []
        while self._waiting and (self._gone == 0 or self._waiting[0].cancelled_at is not None or self._fits()):
            sequence = self._waiting.popleft()
            self._count(sequence, -1)
            found.append(sequence)
        return found

    def back(self, sequence: Sequence) -> None:
        """One of them has ended."""
        self._count(sequence, 1)

    def _fits(self) -> bool:
        spec = self._waiting[0].spec
        return spec.width <= self._slots and len(spec.prompt) <= self._tokens

    def _count(self, sequence: Sequence, sign: int) -> None:
        self._slots += sign * sequence.spec.width
        self._tokens += sign * len(sequence.spec.prompt)
        self._gone -= sign
