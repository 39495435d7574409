"""Long texts become engine requests in a thread of their own: neither event loop nor engine waits for tokenizing.

The tokenizer lets other threads run while it works. One text after the other, in the order in which they came: who has
many long ones keeps those waiting who have long ones, too, and nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from service.engine.stats import Observer
from service.worker.engine_request import EngineRequest
from service.worker.holding import Held, WaitingTexts

log = logging.getLogger("triptych.engine")


class Preparation(WaitingTexts):
    """All but the making of engine requests happens in one event loop."""

    def __init__(self, observer: Observer | None = None) -> None:
        super().__init__("the text was being tokenized", observer)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenizer")

    def prepare(self, held: Held, make: Callable[[], EngineRequest], begin: Callable[[EngineRequest], None]) -> None:
        """`make` runs in the thread, `begin` in this event loop; what either raises is the request's answer.

        Who is cancelled or late meanwhile is told at once, and skipped. Raises DeadlineExceeded.
        """
        loop = asyncio.get_running_loop()
        self.add(held)

        def hand_on(made: Future[EngineRequest | None]) -> None:
            try:
                loop.call_soon_threadsafe(self._begin, held, made, begin)
            except RuntimeError:  # the loop was closed: nobody is left to hear
                log.warning("request %s had no listener: its event loop is closed", held.request.id)

        self._thread.submit(self._make, held, make).add_done_callback(hand_on)

    def _make(self, held: Held, make: Callable[[], EngineRequest]) -> EngineRequest | None:
        return make() if held in self else None

    def _begin(self, held: Held, made: Future[EngineRequest | None], begin: Callable[[EngineRequest], None]) -> None:
        if held not in self:
            return
        self.take(held)

        def go_on(_: Held) -> None:
            request = made.result()
            assert request is not None, "who still waits was not skipped"
            begin(request)

        held.go_on(go_on)
