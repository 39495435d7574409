"""How the gateway sees the workers that serve a model: one Protocol. Knows nothing of how they are reached."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Protocol

from service.messages import Detokenize, Event, ModelInfo, Request, TextToken, Tokenize


class Worker(Protocol):
    """One served model, whatever the number of its replicas."""

    name: str

    def submit(self, requests: Sequence[Request]) -> AsyncIterator[list[Event]]:
        """Events of all these requests as they come, each list what one step brought.

        Each request gets exactly one terminal event, and the iterator ends after the last of them. Closing it
        (`aclose`, or cancelling the task that waits on it) cancels what is still running.
        """
        ...

    async def cancel(self, request_ids: Sequence[str]) -> None:
        """Give up these requests of some `submit`; ids that are unknown or done are ignored."""
        ...

    async def describe(self) -> ModelInfo: ...

    async def tokenize(self, asked: Tokenize) -> list[list[TextToken]]:
        """The tokens of each text. No step of the model waits for it."""
        ...

    async def detokenize(self, asked: Detokenize) -> list[str]:
        """The text of each list of ids. Raises `service.errors.InvalidRequest` for an id that the model has not."""
        ...

    async def canary(self) -> None:
        """Return once the model has given a sign of life: a real prompt answered, or a step while it is busy.

        Raises `service.errors.NotReady` otherwise.
        """
        ...

    async def reload(self, reference: str | None) -> ModelInfo:
        """Serve another checkpoint, or what the settings name as it is now, and say what is served then.

        Nobody's request fails because of it. Raises `service.errors.ReloadFailed` where the old weights go on serving.
        """
        ...

    async def metrics(self) -> list[tuple[str, bytes]]:
        """(replica id, Prometheus text) of each replica."""
        ...


def for_nobody(question: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task for what several requests share, in an empty context.

    Ray Serve reads from the context for whom a call is made, and cancels it when that one's client leaves.
    """
    return asyncio.create_task(question, context=contextvars.Context())
