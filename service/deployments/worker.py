"""A served model as the gateway sees it: the gateway's `Worker` protocol over a Ray Serve handle."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from service.errors import NotReady, Overloaded, ReloadFailed
from service.messages import Detokenize, Event, Failure, ModelInfo, Request, TextToken, Tokenize

UNREACHABLE = (RayError, RayServeException)


def agreed(outcomes: Sequence[ModelInfo | Failure]) -> ModelInfo:
    """What all replicas serve after a reload. Raises what the first of those says that failed, and how many did."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    infos = [outcome for outcome in outcomes if not isinstance(outcome, Failure)]
    if not failures:
        return infos[0]
    message = failures[0].message
    if infos:
        message = (
            f"{len(failures)} of {len(outcomes)} replicas go on with other weights than {infos[0].version}, "
            f"reload again: {message}"
        )
    raise ReloadFailed(message)


class RayWorker:
    def __init__(self, name: str, handle: DeploymentHandle | None = None) -> None:
        """Without a handle, nobody can be reached until `connect` gives one."""
        self.name = name
        self._handles: tuple[DeploymentHandle, DeploymentHandle] | None = None
        if handle is not None:
            self.connect(handle)

    def connect(self, handle: DeploymentHandle) -> None:
        self._handles = handle, handle.options(method_name="submit", stream=True)

    def _connected(self) -> tuple[DeploymentHandle, DeploymentHandle]:
        """For questions, and for requests."""
        if self._handles is None:
            raise NotReady(f"model {self.name!r} is not there yet: the service is starting")
        return self._handles

    @property
    def _handle(self) -> DeploymentHandle:
        return self._connected()[0]

    async def submit(self, requests: Sequence[Request]) -> AsyncIterator[list[Event]]:
        """To one replica; events as they come. Closing the iterator cancels what is still running there."""
        _, submit = self._connected()
        events = cast(DeploymentResponseGenerator[list[Event]], submit.remote(list(requests)))
        try:
            async for batch in events:
                yield batch
        except BackPressureError as error:
            raise Overloaded(f"model {self.name!r} has no room: {error.message}") from error
        except UNREACHABLE as error:
            raise self._not_reached(error) from error
        finally:
            events.cancel()  # no effect where the replica has finished

    async def cancel(self, request_ids: Sequence[str]) -> None:
        """The replica that has them is not known here: all are told, the others ignore it."""
        await self._handle.broadcast("cancel", list(request_ids)).results_async()

    async def describe(self) -> ModelInfo:
        return await self._ask("describe")

    async def tokenize(self, asked: Tokenize) -> list[list[TextToken]]:
        return await self._ask("tokenize", asked)

    async def detokenize(self, asked: Detokenize) -> list[str]:
        """Raises InvalidRequest."""
        answer = await self._ask("detokenize", asked)
        if isinstance(answer, Failure):
            raise answer.error()
        return answer

    async def canary(self) -> None:
        """Raises NotReady unless the model gives a sign of life."""
        failure = await self._ask("canary", f"canary-{uuid.uuid4().hex}")
        if failure is not None:
            raise NotReady(f"model {self.name!r} failed on its canary: {failure.message}")

    async def reload(self, reference: str | None) -> ModelInfo:
        """On every replica; what they serve then. Raises ReloadFailed where one goes on with its old weights."""
        try:
            outcomes = await self._handle.broadcast("reload", reference).results_async()
        except UNREACHABLE as error:
            raise self._not_reached(error) from error
        return agreed(outcomes)

    async def metrics(self) -> list[tuple[str, bytes]]:
        return await self._handle.broadcast("metrics").results_async()

    async def _ask(self, method: str, *arguments: Any) -> Any:
        """Of one replica; a question that nobody waits for any longer does not wait for a replica either."""
        response = getattr(self._handle, method).remote(*arguments)
        try:
            return await response
        except UNREACHABLE as error:
            raise self._not_reached(error) from error
        finally:
            response.cancel()  # no effect where it is answered

    def _not_reached(self, error: Exception) -> NotReady:
        return NotReady(f"model {self.name!r} cannot be reached: {type(error).__name__}")
