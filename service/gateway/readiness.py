"""Whether a model lives: when it was last heard, and the question it is asked when it has been quiet.

A model is ready while it has given a sign of life within `FRESH_S`. Knows nothing of what the question is.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any

from service.errors import NotReady, ServiceError
from service.gateway.workers import for_nobody

WATCH_EVERY_S = 1.0  # how often somebody should call `watch`
QUIET_S = 2.0  # so long without a sign of life, and the question is asked
QUESTION_TIMEOUT_S = 2.0  # so long without an answer to it, and the model is dead
FRESH_S = WATCH_EVERY_S + QUIET_S + QUESTION_TIMEOUT_S
USUAL_RECOVERY_S = 10.0  # how long a model is taken to need that has never come back yet

log = logging.getLogger("triptych.readiness")


class Readiness:
    """Of one model. It is known to be dead from a question that fails to the next one that is answered."""

    def __init__(
        self,
        model: str,
        question: Callable[[], Coroutine[Any, Any, None]],
        on_change: Callable[[bool], None] = lambda ready: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`question` returns when the model has given a sign of life, and raises where it cannot."""
        self._model = model
        self._question = question
        self._on_change = on_change
        self._clock = clock
        self._asking: asyncio.Task[None] | None = None  # one question, however many wait for its answer
        self._heard = -math.inf
        self._ready = False
        self._reason: str | None = None  # why the model is known to be dead
        self._changed = clock()  # when it became ready, or dead
        self._recovery_s = USUAL_RECOVERY_S

    @property
    def fresh(self) -> bool:
        return self._reason is None and self._clock() - self._heard < FRESH_S

    def heard(self) -> None:
        """A sign of life has come. One that is known to be dead has to answer the question all the same."""
        self._heard = self._clock()

    def doubt(self) -> None:
        """Something failed: ask at once, and believe nothing until then."""
        self._heard = -math.inf
        self._ask()

    def watch(self) -> None:
        """Ask where there has been no sign of life for a while; the answer comes later."""
        if self._reason is not None or self._clock() - self._heard > QUIET_S:
            self._ask()

    def refusal(self) -> NotReady | None:
        """What those get who ask something of a model that is known to be dead."""
        if self._reason is None:
            return None
        return NotReady(f"model {self._model!r} is not ready: {self._reason}", retry_after_s=self.retry_after_s())

    def retry_after_s(self) -> float:
        """What is left of the time that the model took to come back the last time."""
        if self._reason is None:
            return self._recovery_s
        left_s = self._changed + self._recovery_s - self._clock()
        return left_s if left_s > 0 else self._recovery_s

    async def check(self) -> None:
        """Return if the model is ready, asking it where that is not known; raise `NotReady` with the reason.

        Takes at most `QUESTION_TIMEOUT_S`.
        """
        if not self.fresh:
            await self.answer()
        if not self.fresh:
            reason = self._reason or f"no sign of life within {QUESTION_TIMEOUT_S:g} s"
            raise NotReady(reason, retry_after_s=self.retry_after_s())

    async def answer(self) -> None:
        """Wait for the answer to the question that is being asked, or to a new one; at most `QUESTION_TIMEOUT_S`."""
        await asyncio.wait({self._ask()})

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _ask(self) -> asyncio.Task[None]:
        if self._asking is None or self._asking.done():
            self._asking = for_nobody(self._put_question())
        return self._asking

    async def _put_question(self) -> None:
        began = self._clock()
        failure: Exception
        try:
            async with asyncio.timeout(QUESTION_TIMEOUT_S):
                await self._question()
        except ServiceError as error:
            reason, failure = error.message, error
        except TimeoutError as error:
            if self._heard > began and self._reason is None:
                return  # it is busy: the answer to the question comes late, others do not
            reason, failure = f"no sign of life within {QUESTION_TIMEOUT_S:g} s", error
        except Exception as error:  # in words of its own, which may say what is nobody's business
            reason, failure = f"it cannot be asked: {type(error).__name__}", error
        else:
            self.heard()
            self._becomes_ready()
            return
        self._becomes_dead(reason, failure)

    def _becomes_ready(self) -> None:
        if self._ready:
            return
        now = self._clock()
        if self._reason is not None:
            self._recovery_s = now - self._changed
        log.info("the model is ready after %.1f s", now - self._changed, extra={"model": self._model})
        self._ready, self._reason, self._changed = True, None, now
        self._on_change(True)

    def _becomes_dead(self, reason: str, failure: Exception) -> None:
        if self._reason is None:
            unexpected = None if isinstance(failure, (ServiceError, TimeoutError)) else failure
            log.warning("the model is not ready: %s", reason, extra={"model": self._model}, exc_info=unexpected)
            self._changed = self._clock()
            self._on_change(False)
        self._ready, self._reason = False, reason
