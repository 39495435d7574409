"""Requests to sequences and ends to answers, without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.engine.tasks import Limits, Task, make_task
from service.messages import GenerateRequest, TranslateRequest
from tests import checkpoints


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    root: Path = tmp_path_factory.mktemp("tasks")
    return {
        "translator": make_task(
            checkpoints.translator(root / "translator"), Limits(max_prompt_tokens=48, max_new_tokens=47)
        ),
        "generator": make_task(
            checkpoints.generator(root / "generator"),
            Limits(max_prompt_tokens=64, max_new_tokens=64, max_total_tokens=64),
        ),
    }


def translate(**fields: object) -> TranslateRequest:
    return TranslateRequest(
        **{"id": "t", "text": "Je suis fatigué.", "source_language": "fr", "target_language": "en", **fields}
    )


def test_the_prompt_counts_as_repeated_where_it_is_the_same_text(tasks: dict[str, Task]) -> None:
    for name, request in {"generator": GenerateRequest(id="g", text="x"), "translator": translate()}.items():
        (sequence,) = tasks[name].prepare(request)
        assert sequence.sampling.penalize_prompt is (name == "generator")
