"""Hugging Face's Inference convention as the app takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.gateway.huggingface.routes import ROUTES, add_routes
from service.gateway.huggingface.streams import StreamEvent
from service.gateway.huggingface.tasks import TASKS
from service.gateway.protocol import HttpProtocol
from service.messages import ModelInfo, Task


def _examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """Those of the models; each names its model where several have the task."""
    found: dict[str, dict[str, Any]] = {}
    for route, task in ROUTES.items():
        named = tasks.count(task) > 1
        examples = {
            f"{model.name}: {shown}" if named else shown: {**body, "model": model.name} if named else body
            for model in models
            if model.task == task
            for shown, body in model.examples.items()
        }
        if examples:
            found[route] = examples
    return found


HUGGINGFACE = HttpProtocol(
    add_routes=add_routes,
    tasks=ROUTES,
    description="Translate, generate and classify, in the Hugging Face Inference convention.",
    schemas=(*TASKS.values(), StreamEvent),
    examples=_examples,
)
