"""The tasks that are served, as the worker knows them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import get_args

import pytest

from service.engine.stats import ANSWERED
from service.messages import TASKS as REQUESTS
from service.messages import (
    Classification,
    ClassifyRequest,
    Failure,
    FinishReason,
    GenerateRequest,
    Request,
    Token,
    TranslateRequest,
)
from service.worker.tasks import TASKS, task_for
from service.worker.tasks.task import Limits
from tests import checkpoints

LIMITS = Limits(max_prompt_tokens=40, max_characters=400, max_new_tokens=20)


def test_the_worker_knows_every_task_that_there_are_requests_for() -> None:
    assert {name: task.REQUEST for name, task in TASKS.items()} == REQUESTS


def test_an_unknown_task_is_refused_by_name(tmp_path: Path) -> None:
    made = checkpoints.classifier(tmp_path)
    unknown = dataclasses.replace(made.manifest, name="it", version=3, task="rank")
    with pytest.raises(ValueError, match="it@3 is made to rank, served are translate, generate, classify"):
        task_for(unknown)


def test_a_checkpoint_is_served_for_what_it_was_made_for_and_nothing_else(tmp_path: Path) -> None:
    manifest = checkpoints.classifier(tmp_path).manifest
    for asked in (None, "classify"):
        assert task_for(manifest, asked) == ("classify", TASKS["classify"])
    with pytest.raises(ValueError, match="classifier@1 is made to classify, this model to generate"):
        task_for(manifest, "generate")
    with pytest.raises(ValueError, match="classifier@1 is a pre-trained encoder: fine-tune it with a recipe"):
        task_for(dataclasses.replace(manifest, task="pretrain"), "classify")


def test_an_answer_ends_for_one_of_the_reasons_that_clients_are_told() -> None:
    assert get_args(FinishReason) == ANSWERED


@pytest.mark.parametrize(
    ("request_", "texts"),
    [
        (
            TranslateRequest(id="t", text="a", source_language="fr", target_language="en", target_prefix="b"),
            {"the text": "a", "target_prefix": "b"},
        ),
        (GenerateRequest(id="g", text="a"), {"the text": "a"}),
        (ClassifyRequest(id="c", text="a"), {"the text": "a"}),
        (ClassifyRequest(id="c", text="a", text_pair="b"), {"the text": "a", "text_pair": "b"}),
    ],
    ids=["translate", "generate", "classify", "pair"],
)
def test_all_that_is_tokenized_counts_as_text(request_: Request, texts: dict[str, str], tmp_path: Path) -> None:
    for make in (checkpoints.translator, checkpoints.generator, checkpoints.classifier):
        task = checkpoints.task_of(make(tmp_path / make.__name__), LIMITS)
        if isinstance(request_, task.REQUEST):
            assert task.texts(request_) == texts
            return
    raise AssertionError(f"no task takes {request_}")


def test_what_is_no_number_shows_that_a_model_does_not_work() -> None:
    token = Token(request_id="c", index=1, id=7, text="x", logprob=math.nan)
    sound = dataclasses.replace(token, logprob=-0.5)
    for name in ("translate", "generate"):
        assert TASKS[name].flaw(token) == "the canary's token 1 has the log-probability nan"
        assert not TASKS[name].flaw(sound)
    scores = Classification(request_id="c", scores=(("a", math.inf), ("b", 0.0)), prompt_tokens=1)
    assert TASKS["classify"].flaw(scores) == "the canary's scores are {'a': inf, 'b': 0.0}"
    assert not TASKS["classify"].flaw(dataclasses.replace(scores, scores=(("a", 1.0), ("b", 0.0))))
    assert not TASKS["classify"].flaw(Failure(request_id="c", code="internal", message="no"))
