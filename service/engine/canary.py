"""A real prompt that shows whether a model works: it answers, and with numbers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.errors import ServiceError
from service.messages import (
    Classification,
    ClassifyRequest,
    Decoding,
    Event,
    Failure,
    GenerateRequest,
    ModelInfo,
    Request,
    Terminal,
    Token,
    TranslateRequest,
)

TIMEOUT_S = 30.0

Start = Callable[[Request, Callable[[Event], None]], object]


@asynccontextmanager
async def patience(timeout_s: float) -> AsyncIterator[None]:
    """Raises ServiceError where what is done in here takes longer."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise ServiceError(f"no sign of life from the model in {timeout_s:g} s") from None


async def ask(info: ModelInfo, request_id: str, start: Start) -> None:
    """Return once the model has answered; raises ServiceError where it does not answer with numbers.

    `start` begins a request and sends its events to the function it is given, in this event loop.
    """
    answered: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

    def take(event: Event) -> None:
        unsound = isinstance(event, Token) and not math.isfinite(event.logprob)
        if not answered.done() and (unsound or isinstance(event, Terminal)):
            answered.set_result(event)

    start(_request(info, request_id), take)
    event = await answered
    if isinstance(event, Failure):
        raise event.error()
    if isinstance(event, Token):
        raise ServiceError(f"the canary's token {event.index} has the log-probability {event.logprob}")
    if isinstance(event, Classification) and not all(math.isfinite(score) for _, score in event.scores):
        raise ServiceError(f"the canary's scores are {dict(event.scores)}")


def _request(info: ModelInfo, request_id: str) -> Request:
    # Streamed, because the log-probabilities come with the stream; two tokens, of which the second is decoded.
    decoding = Decoding(max_new_tokens=min(2, info.max_new_tokens))
    if info.task == "translate":
        source, target = info.language_pairs[0]
        return TranslateRequest(
            id=request_id, text="1", stream=True, source_language=source, target_language=target, decoding=decoding
        )
    if info.task == "generate":
        return GenerateRequest(id=request_id, text="1", stream=True, decoding=decoding)
    return ClassifyRequest(id=request_id, text="1")
