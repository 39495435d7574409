"""A served model as the gateway sees it: the gateway's `Worker` protocol over a Ray Serve handle."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from service.errors import NotReady
from service.messages import Event, ModelInfo, Request

CANARY_TIMEOUT_S = 10.0


class RayWorker:
    def __init__(self, name: str, handle: DeploymentHandle) -> None:
        self.name = name
        self._handle = handle
        self._submit = handle.options(method_name="submit", stream=True)

    async def submit(self, requests: Sequence[Request]) -> AsyncIterator[list[Event]]:
        """To one replica; events as they come. Closing the iterator cancels what is still running there."""
        events = self._submit.remote(list(requests))
        try:
            async for batch in events:
                yield batch
        finally:
            events.cancel()  # no effect where the replica has finished

    async def cancel(self, request_ids: Sequence[str]) -> None:
        """The replica that has them is not known here: all are told, the others ignore it."""
        await self._handle.broadcast("cancel", list(request_ids)).results_async()

    async def describe(self) -> ModelInfo:
        return await self._handle.describe.remote()

    async def canary(self) -> None:
        """Raises NotReady until the model answers a real prompt."""
        try:
            call = self._handle.canary.remote(f"canary-{uuid.uuid4().hex}")
            failure = await asyncio.wait_for(call, CANARY_TIMEOUT_S)
        except TimeoutError:
            raise NotReady(f"model {self.name!r} did not answer within {CANARY_TIMEOUT_S:.0f} s") from None
        except (RayError, RayServeException) as error:
            raise NotReady(f"model {self.name!r} cannot be reached: {type(error).__name__}") from error
        if failure is not None:
            raise NotReady(f"model {self.name!r} failed on its canary: {failure.message}")

    async def metrics(self) -> list[tuple[str, bytes]]:
        return await self._handle.broadcast("metrics").results_async()
