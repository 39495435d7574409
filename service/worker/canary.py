"""A real prompt that shows whether a model works: it answers, and with numbers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.errors import ServiceError
from service.messages import Event, Failure, Request, Terminal
from service.worker.tasks.task import WorkerTask

TIMEOUT_S = 30.0

Begin = Callable[[Request, Callable[[Event], None]], object]


@asynccontextmanager
async def patience(timeout_s: float) -> AsyncIterator[None]:
    """Raises ServiceError where what is done in here takes longer."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise ServiceError(f"no sign of life from the model in {timeout_s:g} s") from None


async def ask(task: WorkerTask, request_id: str, begin: Begin) -> None:
    """Return once the model has answered; raises ServiceError where it does not answer with numbers.

    `begin` starts a request and sends its events to the function it is given, in this event loop.
    """
    answered: asyncio.Future[tuple[Event, str]] = asyncio.get_running_loop().create_future()

    def take(event: Event) -> None:
        flaw = task.flaw(event)
        if not answered.done() and (flaw or isinstance(event, Terminal)):
            answered.set_result((event, flaw))

    begin(task.canary(request_id), take)
    event, flaw = await answered
    if isinstance(event, Failure):
        raise event.error()
    if flaw:
        raise ServiceError(flaw)
