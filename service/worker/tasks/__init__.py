"""The served tasks as text: a request becomes sequences, their outputs an answer. One module a task."""

from __future__ import annotations

from models.checkpoint import Checkpoint
from service.messages import Task
from service.worker.tasks.classify import Classify
from service.worker.tasks.generate import Generate
from service.worker.tasks.task import Limits, WorkerTask
from service.worker.tasks.translate import Translate

TASKS: dict[Task, type[WorkerTask]] = {"translate": Translate, "generate": Generate, "classify": Classify}


def make_task(checkpoint: Checkpoint, limits: Limits) -> WorkerTask:
    """The task that a checkpoint was trained for. Raises ValueError for one that nobody serves."""
    manifest = checkpoint.manifest
    for name, task in TASKS.items():
        if name == manifest.task:
            return task.of(checkpoint, limits)
    raise ValueError(f"{manifest.reference} is made to {manifest.task}; served are {', '.join(TASKS)}")
