"""One HTTP call from admitted to answered: waits on its ticket until the answers, the deadline or the client's leaving.

Knows nothing of bodies and of how answers look.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import zip_longest

from starlette.types import Receive

from service.errors import Cancelled, NotReady, Overloaded, ServiceError
from service.gateway.access import Access
from service.gateway.admission import Admission
from service.gateway.batcher import Ticket
from service.gateway.catalogue import ServedModel
from service.gateway.context import RequestContext
from service.gateway.detection import LanguageScore
from service.messages import Failure, Request, Result, Token
from service.messages.deadline import unanswered
from service.observability.metrics import GatewayMetrics


@dataclass(slots=True)
class Answer:
    """Of one text. `tokens` only where they were asked for."""

    result: Result
    tokens: list[Token] = field(default_factory=list)
    detected: LanguageScore | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is to be answered, for whom and until when."""

    context: RequestContext
    model: ServedModel
    requests: Sequence[Request]
    timeout_s: float  # since the request arrived
    detected: Sequence[LanguageScore] = ()  # the language of each text, where that was asked for
    called: Callable[[str], str] = str  # how the client knows a parameter of the requests


class Answering:
    def __init__(self, admission: Admission, access: Access, metrics: GatewayMetrics) -> None:
        self._admission = admission
        self._access = access
        self._metrics = metrics

    @asynccontextmanager
    async def open(self, call: Call, receive: Receive, most_waiting: int | None = None) -> AsyncIterator[Ticket]:
        """A ticket for the call's requests that the deadline and the client's leaving interrupt.

        `most_waiting` of their events wait for who reads them. Raises `Overloaded` where there is no room. Leaving the
        block cancels what is not answered.
        """
        reason = "gateway"
        try:
            with self._admission.admit(call.model.name, len(call.requests)):
                reason = "worker"
                with call.model.batcher.submit(call.requests, most_waiting) as ticket:
                    async with _interrupting(ticket, call, receive):
                        yield ticket
        except Overloaded as error:
            self._metrics.refused(reason)
            raise error.unless_said_retry_after(self._admission.retry_after_s(call.model.name)) from None
        except NotReady as error:
            raise error.unless_said_retry_after(call.model.readiness.retry_after_s()) from None
        finally:
            await self._access.ended(call.context)

    def refusal(self, models: Sequence[ServedModel]) -> ServiceError | None:
        """What every request gets that one of `models` should answer, whatever it asks; None where that depends."""
        first: ServiceError | None = None
        for model in models:
            refusal = model.readiness.refusal() or self._no_room(model)
            if refusal is None:
                return None
            first = first or refusal
        if isinstance(first, Overloaded):
            self._metrics.refused("gateway")
        return first

    def _no_room(self, model: ServedModel) -> ServiceError | None:
        try:
            self._admission.check(model.name)
        except ServiceError as error:
            return error
        return None

    async def all(self, call: Call, receive: Receive) -> list[Answer]:
        """The answers in the order of the requests; the first failure is raised, and the rest is cancelled."""
        results: dict[str, Result] = {}
        tokens: dict[str, list[Token]] = {request.id: [] for request in call.requests}
        async with self.open(call, receive) as ticket:
            async for events in ticket:
                call.context.used(events)
                for event in events:
                    if isinstance(event, Token):
                        tokens[event.request_id].append(event)
                    elif isinstance(event, Failure):
                        raise failure_of(event, call)
                    elif isinstance(event, Result):
                        results[event.request_id] = event
        self.note(call, list(results.values()))
        return [
            Answer(results[request.id], tokens[request.id], detected)
            for request, detected in zip_longest(call.requests, call.detected)
        ]

    def note(self, call: Call, results: Sequence[Result]) -> None:
        """Take over what the results say of version and timing."""
        call.context.note(results)
        call.model.heard(call.context.model_version)

    def first_token(self, call: Call) -> None:
        self._metrics.first_token(call.context.route, call.context.seconds())

    def failed(self, call: Call, error: ServiceError) -> None:
        """The client is told of `error` within its stream."""
        self._metrics.failed(call.context.route, error.code)


@asynccontextmanager
async def _interrupting(ticket: Ticket, call: Call, receive: Receive) -> AsyncIterator[None]:
    late = unanswered(call.timeout_s)
    timer = asyncio.get_running_loop().call_later(call.context.left_s(call.timeout_s), ticket.interrupt, late)
    watcher = asyncio.create_task(_watch(ticket, call.context, receive))
    try:
        yield
    finally:
        timer.cancel()
        watcher.cancel()
    # Where everything came in one turn of the event loop, the watcher had no turn of its own to see the client leave.
    if _has_left(receive):
        call.context.client_left = True


def _has_left(receive: Receive) -> bool:
    """Whether the server knows already, found without a turn of the event loop: they are long when it is flooded."""
    asking = receive()
    try:
        asking.send(None)  # type: ignore[attr-defined]  # of a coroutine, which this one is
    except StopIteration as answer:
        return answer.value["type"] == "http.disconnect"
    asking.close()  # type: ignore[attr-defined]
    return False


async def _watch(ticket: Ticket, context: RequestContext, receive: Receive) -> None:
    """Interrupt the call when its client leaves. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
    context.client_left = True
    ticket.interrupt(Cancelled("the client left"))


def failure_of(failure: Failure, call: Call) -> ServiceError:
    """The failure as an error that says which of the inputs it is about, with the client's name for a parameter."""
    index = [request.id for request in call.requests].index(failure.request_id)
    error = failure.error()
    if name := error.details.get("parameter"):
        error.details["parameter"] = call.called(name)
        if error.message.startswith(name):
            error.message = call.called(name) + error.message.removeprefix(name)
    error.details = {**error.details, "index": index}
    return error
