"""Calls of a model through Ray Serve's handle, without Ray: what they raise, whom they reach and what they leave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass
from typing import Any

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from service.deployments.worker import RayWorker, agreed
from service.errors import InvalidRequest, NotReady, Overloaded, ReloadFailed, ServiceError
from service.messages import Accepted, Detokenize, Failure, GenerateRequest, TextToken, Tokenize
from tests.service.gateway.fakes import model_info

NEW = model_info("m", "generate", version="m@2")
FAILED = Failure.of("", ReloadFailed("m goes on with m@1: no room"))


def test_replicas_that_all_took_the_weights_agree() -> None:
    assert agreed([NEW, NEW]) == NEW


def test_replicas_that_all_failed_say_why() -> None:
    with pytest.raises(ReloadFailed, match=r"^m goes on with m@1: no room$"):
        agreed([FAILED, FAILED])


def test_replicas_that_differ_are_named_with_what_to_do() -> None:
    with pytest.raises(ReloadFailed, match=r"1 of 3 replicas .* than m@2, reload again: m goes on with m@1: no room"):
        agreed([NEW, FAILED, NEW])


async def test_before_ray_is_reached_every_call_says_that_the_service_is_starting() -> None:
    worker = RayWorker("m")
    tokens = worker.tokenize(Tokenize(texts=("a",))), worker.detokenize(Detokenize(ids=((1,),)))
    questions = worker.describe(), worker.canary(), worker.cancel(["r"]), worker.metrics(), worker.reload(None)
    for call in (*questions, *tokens):
        with pytest.raises(NotReady, match=r"model 'm' is not there yet: the service is starting"):
            await call
    with pytest.raises(NotReady, match="the service is starting"):
        await anext(aiter(worker.submit([])))


class Called:
    """What a handle's method returns: a replica's answer, or its events one after the other, as the test has them."""

    def __init__(self, answers: list[object]) -> None:
        self.answers, self.cancelled = answers, False

    def __await__(self) -> Generator[Any, None, Any]:
        return anext(aiter(self)).__await__()

    async def __aiter__(self) -> AsyncIterator[object]:
        for answer in self.answers:
            if isinstance(answer, Exception):
                raise answer
            yield answer

    async def results_async(self) -> list[object]:
        return [answer async for answer in self]

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Method:
    remote: Callable[..., Called]


class Handle:
    """A deployment's: every call of it gets `answers`, and is kept with its method and arguments."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, tuple[object, ...], Called]] = []

    def options(self, *, method_name: str, stream: bool) -> Any:
        assert stream
        return getattr(self, method_name)

    def __getattr__(self, method: str) -> Any:
        return Method(lambda *arguments: self._call(method, arguments))

    def broadcast(self, method: str, *arguments: object) -> Called:
        return self._call(f"every {method}", arguments)

    def _call(self, method: str, arguments: tuple[object, ...]) -> Called:
        self.calls.append((method, arguments, Called(self.answers)))
        return self.calls[-1][2]


def worker_with(*answers: object) -> tuple[RayWorker, Handle]:
    handle = Handle(*answers)
    return RayWorker("m", handle), handle  # type: ignore[arg-type]


async def test_events_come_as_the_replica_sends_them_and_leaving_cancels_the_rest() -> None:
    first, second = [Accepted(request_id="r")], [Failure.of("r", NotReady("no"))]
    worker, handle = worker_with(first, second)
    requests = (GenerateRequest(id="r", text="x"),)
    assert [batch async for batch in worker.submit(requests)] == [first, second]
    events = worker.submit(requests)
    assert await anext(events) == first
    (_, arguments, left) = handle.calls[-1]
    assert (arguments, left.cancelled) == (([*requests],), False)
    await events.aclose()  # type: ignore[attr-defined]
    assert left.cancelled


@pytest.mark.parametrize(
    ("raised", "refusal", "words"),
    [
        (BackPressureError(3, 2), Overloaded, "model 'm' has no room: Request dropped due to backpressure"),
        (RayActorError(), NotReady, "model 'm' cannot be reached: RayActorError"),
    ],
)
async def test_what_ray_raises_in_a_stream_becomes_our_error(
    raised: Exception, refusal: type[ServiceError], words: str
) -> None:
    worker, _ = worker_with([Accepted(request_id="r")], raised)
    events = worker.submit([])
    await anext(events)
    with pytest.raises(refusal, match=words):
        await anext(events)


async def test_a_replica_that_cannot_be_reached_is_not_ready_whatever_it_is_asked() -> None:
    worker, _ = worker_with(RayActorError())
    for question in (worker.describe(), worker.canary(), worker.reload(None)):
        with pytest.raises(NotReady, match="model 'm' cannot be reached: RayActorError"):
            await question


async def test_a_question_is_of_one_replica_and_what_concerns_all_goes_to_every_one() -> None:
    worker, handle = worker_with(NEW)
    assert await worker.describe() == NEW
    assert await worker.reload("m@2") == NEW
    await worker.cancel(["r"])
    await worker.metrics()
    assert [(method, arguments) for method, arguments, _ in handle.calls] == [
        ("describe", ()),
        ("every reload", ("m@2",)),
        ("every cancel", (["r"],)),
        ("every metrics", ()),
    ]


async def test_a_canary_that_fails_says_why_and_one_that_nobody_waits_for_is_given_up() -> None:
    worker, handle = worker_with(Failure.of("c", NotReady("it hangs")))
    with pytest.raises(NotReady, match="model 'm' failed on its canary: it hangs"):
        await worker.canary()
    assert handle.calls[-1][2].cancelled
    worker, _ = worker_with(None)
    await worker.canary()


async def test_texts_and_tokens_are_asked_of_one_replica_and_a_refusal_is_raised_here() -> None:
    tokens = [[TextToken(id=1, text="a", start=0, stop=1)]]
    worker, _ = worker_with(tokens)
    assert await worker.tokenize(Tokenize(texts=("a",))) == tokens
    worker, _ = worker_with(["a"])
    assert await worker.detokenize(Detokenize(ids=((1,),))) == ["a"]
    worker, _ = worker_with(Failure.of("", InvalidRequest("ids[0][0] is 9", index=0)))
    with pytest.raises(InvalidRequest, match="is 9") as caught:
        await worker.detokenize(Detokenize(ids=((9,),)))
    assert caught.value.details == {"index": 0}
