from __future__ import annotations

import asyncio
import contextvars

import pytest

from service.config import ModelSettings, Settings
from service.errors import NotReady, Overloaded, UnknownModel
from service.gateway.catalogue import Catalogue
from service.messages import Failure, GenerateRequest
from service.observability.metrics import GatewayMetrics
from tests.service.gateway.fakes import FakeWorker


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker("generator")


@pytest.fixture
def catalogue(worker) -> Catalogue:
    settings = Settings(models={"generator": ModelSettings(task="generate", checkpoint="g")})
    return Catalogue(settings, {"generator": worker}, GatewayMetrics(["generator"]))


async def test_many_ask_but_the_worker_is_asked_once(worker, catalogue):
    model = catalogue.find("generate", None)
    await asyncio.gather(*(model.info() for _ in range(20)))
    assert worker.described == 1


async def test_a_worker_that_hangs_is_not_ready_after_a_while(worker, catalogue, monkeypatch):
    monkeypatch.setattr("service.gateway.readiness.ANSWER_TIMEOUT_S", 0.02)
    worker.hanging = True
    model = catalogue.find("generate", None)
    for asking, words in [
        (model.info(), "says nothing of itself"),
        (model.readiness.check(), r"no sign of life within 0\.02 s"),
    ]:
        with pytest.raises(NotReady, match=words):
            await asking
    await model.close()


async def test_a_worker_that_cannot_be_reached_is_not_ready_without_its_words(worker, catalogue):
    async def broken():
        raise RuntimeError("secret")

    worker.describe = worker.canary = broken
    model = catalogue.find("generate", None)
    for asking in (model.info(), model.readiness.check()):
        with pytest.raises(NotReady, match="it cannot be asked: RuntimeError") as caught:
            await asking
        assert "secret" not in caught.value.message


async def test_what_several_requests_ask_belongs_to_none_of_them(worker, catalogue):
    caller = contextvars.ContextVar("caller", default="nobody")
    seen: list[str] = []
    describe, canary = worker.describe, worker.canary

    def looking(question):
        async def look():
            seen.append(caller.get())
            return await question()

        return look

    worker.describe, worker.canary = looking(describe), looking(canary)
    caller.set("a client")
    model = catalogue.find("generate", None)
    await model.info()
    model.batcher.on_failure()
    await model.readiness.check()
    assert seen == ["nobody"] * 4


async def test_a_model_can_take_what_its_replicas_run_and_let_wait(worker):
    served = ModelSettings(task="generate", checkpoint="g", slots=4, max_waiting=6, max_replicas=3)
    catalogue = Catalogue(Settings(models={"generator": served}), {"generator": worker}, GatewayMetrics(["generator"]))
    assert catalogue.find("generate", None).capacity == 30


@pytest.mark.parametrize(("breaks", "canaries"), [(Overloaded("full"), 1), (NotReady("dead"), 2), (OSError(), 2)])
async def test_a_failure_but_not_an_overload_puts_readiness_in_doubt(worker, catalogue, breaks, canaries):
    model = catalogue.find("generate", None)
    await model.readiness.check()
    worker.breaks = breaks
    with model.batcher.submit([GenerateRequest(id="a", text="a")]) as ticket:
        assert [type(event) async for events in ticket for event in events] == [Failure]
    await model.readiness.check()
    assert worker.canaries == canaries


def test_a_task_without_models_says_so(catalogue):
    with pytest.raises(UnknownModel, match="no model serves classify; available: none"):
        catalogue.find("classify", None)


def test_a_model_without_worker_is_refused_at_the_start():
    settings = Settings(models={"generator": ModelSettings(task="generate", checkpoint="g")})
    with pytest.raises(ValueError, match="no worker for"):
        Catalogue(settings, {}, GatewayMetrics([]))
