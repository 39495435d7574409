"""A served task is a module in each layer, and each layer has one dict of them: they know the same."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from service.config import ModelSettings, Settings
from service.errors import UnknownModel
from service.gateway.catalogue import Catalogue
from service.gateway.huggingface.tasks import TASKS as BODIES
from service.gateway.traffic import Envelope
from service.messages import TASKS, Task
from service.observability.metrics import GatewayMetrics
from service.worker.tasks import TASKS as WORKER_TASKS
from tests.service.gateway.fakes import FakeWorker, model_info


def test_every_layer_knows_the_same_tasks_in_the_same_order() -> None:
    assert list(BODIES) == list(TASKS) == list(WORKER_TASKS) == list(get_args(Task))


@pytest.mark.parametrize("task", TASKS)
def test_a_body_becomes_requests_of_its_task(task: str) -> None:
    body = BODIES[task].model_validate({"inputs": ["a", "b"]})
    info = model_info("m", task, language_pairs=(("fr", "en"),))
    made = body.requests(info, Envelope("id", 1.0, stream=False))
    assert [type(request) for request in made] == [TASKS[task]] * 2
    assert [request.text for request in made] == ["a", "b"]
    assert len({request.id for request in made}) == 2


def test_an_unknown_task_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"'translate', 'generate', 'classify' or 'embed'.*'sing'"):
        ModelSettings(task="sing", checkpoint="x")
    served = {"m": ModelSettings(task="classify", checkpoint="x")}
    catalogue = Catalogue(Settings(models=served), {"m": FakeWorker("m", "classify")}, GatewayMetrics(["m"]))
    with pytest.raises(UnknownModel, match="no model serves sing; available: none"):
        catalogue.find("sing", None)
