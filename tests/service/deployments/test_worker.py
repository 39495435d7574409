from __future__ import annotations

import pytest

from service.deployments.worker import RayWorker, agreed
from service.errors import NotReady, ReloadFailed
from service.messages import Failure
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
    for call in (worker.describe(), worker.canary(), worker.cancel(["r"]), worker.metrics(), worker.reload(None)):
        with pytest.raises(NotReady, match=r"model 'm' is not there yet: the service is starting"):
            await call
    with pytest.raises(NotReady, match="the service is starting"):
        await anext(aiter(worker.submit([])))
