"""Whether a model lives: when it was last heard, and the question it is asked when it has been quiet.

A model is ready while it has given a sign of life within `FRESH_S`. Knows nothing of what the question is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from service.errors import NotReady, ServiceError
from service.gateway.workers import for_nobody

FRESH_S = 5.0  # a sign of life is believed this long
WATCH_EVERY_S = 1.0  # how often somebody should call `watch`
ASK_AFTER = 2  # watches without a sign of life, and the question is asked
DEAD_AFTER = 5  # watches without a sign of life, and the model is dead
ANSWER_TIMEOUT_S = 2.0  # so long somebody waits for the answer
QUESTION_TIMEOUT_S = 5.0  # so long the question stands before it is asked anew, perhaps of another replica
USUAL_RECOVERY_S = 10.0  # how long a model is taken to need that has never come back yet

log = logging.getLogger("triptych.readiness")


@dataclass(eq=False)
class Readiness:
    """Of one model. One that is known to be dead is so until it answers the question."""

    model: str
    question: Callable[[], Coroutine[Any, Any, None]]  # returns at a sign of life of the model, raises where it cannot
    on_change: Callable[[bool], None]
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._asking: asyncio.Task[None] | None = None  # one question, however many wait for its answer
        self._heard = self._changed = self.clock()
        self._silent = 0  # watches since then: not seconds, for it may have been us who stood still
        self._doubted = True  # only an answer to the question is believed
        self._ready = self._was_ready = False
        self._reason: str | None = None  # why the model is known to be dead
        self._recovery_s = USUAL_RECOVERY_S

    @property
    def fresh(self) -> bool:
        return self._reason is None and not self._doubted and self.clock() - self._heard < FRESH_S

    def heard(self) -> None:
        """A sign of life has come. One that is known to be dead has to answer the question all the same."""
        self._heard = self.clock()
        self._silent = 0

    def doubt(self) -> None:
        """Something failed: ask at once, and believe nothing until then."""
        self._doubted = True
        self._ask()

    def watch(self) -> None:
        """To be called every `WATCH_EVERY_S`: asks a model that is quiet, and gives up one that stays so."""
        self._silent += 1
        if self._doubted or self._reason is not None or self._silent >= ASK_AFTER:
            self._ask()
        if self._reason is None and self._silent >= DEAD_AFTER:
            self._becomes_dead(f"no sign of life for {self.clock() - self._heard:.0f} s")

    async def begin(self) -> None:
        """Ask for the first time. A model that does not answer yet is dead until it does."""
        await self.answer()
        if self._doubted and self._reason is None:
            self._becomes_dead("it has not answered yet")

    def refusal(self) -> NotReady | None:
        """What those get who ask something of a model that is known to be dead."""
        if self._reason is None:
            return None
        return NotReady(f"model {self.model!r} is not ready: {self._reason}", retry_after_s=self.retry_after_s())

    def retry_after_s(self) -> float:
        """What is left of the time that the model took to come back the last time."""
        if self._reason is None:
            return self._recovery_s
        left_s = self._changed + self._recovery_s - self.clock()
        return left_s if left_s > 0 else self._recovery_s

    async def check(self) -> None:
        """Return if the model is ready, asking it where that is not known; raise `NotReady` with the reason.

        Takes at most `ANSWER_TIMEOUT_S`.
        """
        if not self.fresh:
            await self.answer()
        if not self.fresh:
            reason = self._reason or f"no sign of life within {ANSWER_TIMEOUT_S:g} s"
            raise NotReady(reason, retry_after_s=self.retry_after_s())

    async def answer(self) -> None:
        """Wait for the answer to the question that is being asked, or to a new one; at most `ANSWER_TIMEOUT_S`."""
        await asyncio.wait({self._ask()}, timeout=ANSWER_TIMEOUT_S)

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _ask(self) -> asyncio.Task[None]:
        if self._asking is None or self._asking.done():
            self._asking = for_nobody(self._put_question())
        return self._asking

    async def _put_question(self) -> None:
        try:
            async with asyncio.timeout(QUESTION_TIMEOUT_S):
                await self.question()
        except ServiceError as error:
            self._becomes_dead(error.message)
        except TimeoutError:
            pass  # `watch` counts how long it has been silent, and asks again
        except Exception as error:  # in words of its own, which may say what is nobody's business
            self._becomes_dead(f"it cannot be asked: {type(error).__name__}", error)
        else:
            self.heard()
            self._becomes_ready()

    def _becomes_ready(self) -> None:
        self._doubted = False
        if self._ready:
            return
        now = self.clock()
        if self._was_ready:
            self._recovery_s = now - self._changed
        else:  # a gateway that is new finds a model that may have run for long
            self._recovery_s = max(now - self._changed, USUAL_RECOVERY_S)
        level = logging.INFO if self._was_ready else logging.DEBUG
        log.log(level, "the model is ready after %.1f s", now - self._changed, extra={"model": self.model})
        self._ready, self._was_ready, self._reason, self._changed = True, True, None, now
        self.on_change(True)

    def _becomes_dead(self, reason: str, unexpected: Exception | None = None) -> None:
        if self._reason is None:
            level = logging.WARNING if self._was_ready or unexpected else logging.DEBUG  # at first it is only loading
            log.log(level, "the model is not ready: %s", reason, extra={"model": self.model}, exc_info=unexpected)
            self._changed = self.clock()
            self.on_change(False)
        self._ready, self._doubted, self._reason = False, True, reason
