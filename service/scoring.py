"""Scores of a checkpoint on the test files its recipe names, from answers of the serving engine: greedy, float32."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

from models.checkpoint import Checkpoint, load
from models.training.data import read_splits
from models.training.evaluation import classification_scores, generation_scores, translation_scores
from models.training.recipe import Recipe
from service.engine.text_engine import EngineOptions, TextEngine
from service.messages import Classification, ClassifyRequest, Completion, Event, Request, TranslateRequest

T = TypeVar("T")


def score(directory: Path, data: Path, console: Console) -> dict[str, Any]:
    """By test file. `data` is the folder whose files the checkpoint's recipe names.

    Raises CheckpointError, RecipeError, DataError, and ValueError where the engine cannot answer a test text.
    """
    checkpoint = load(directory)
    recipe = Recipe.from_dict(checkpoint.manifest.training["recipe"])
    if checkpoint.manifest.task == "generate":
        # Likelihood is a matter of the model alone: nothing is generated.
        return {"held-out reviews": generation_scores(checkpoint, read_splits(recipe, data).validation)}
    answers = EngineAnswers(checkpoint, console)
    try:
        if checkpoint.manifest.task == "translate":
            return translation_scores(recipe, data, answers.translations)
        return classification_scores(recipe, data, answers.labels)
    finally:
        answers.close()


class EngineAnswers:
    """What the engine answers to many texts at once."""

    def __init__(self, checkpoint: Checkpoint, console: Console) -> None:
        self._console = console
        options = EngineOptions(max_waiting=10**6, max_waiting_tokens=10**9, precision="float32")
        self._engine = TextEngine("score", checkpoint, options)

    def translations(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        requests = [
            TranslateRequest(id=str(number), text=text, source_language=source, target_language=target)
            for number, text in enumerate(texts)
        ]
        return [answer.text for answer in self._answers(requests, f"{source}→{target}", Completion)]

    def labels(self, texts: Sequence[str]) -> list[str]:
        requests = [ClassifyRequest(id=str(number), text=text, top_k=1) for number, text in enumerate(texts)]
        return [answer.scores[0][0] for answer in self._answers(requests, "classify", Classification)]

    def close(self) -> None:
        self._engine.close()

    def _answers(self, requests: Sequence[Request], what: str, kind: type[T]) -> list[T]:
        answers = asyncio.run(self._collect(requests, what))
        for request in requests:
            answer = answers[request.id]
            if not isinstance(answer, kind):
                raise ValueError(f"no answer to {request.text[:80]!r}: {answer}")
        return [answers[request.id] for request in requests]  # type: ignore[misc]

    async def _collect(self, requests: Sequence[Request], what: str) -> dict[str, Event]:
        answers: dict[str, Event] = {}
        progress = iter(track(range(len(requests)), what, console=self._console))
        async for events in self._engine.submit(requests):
            for event in events:
                answers[event.request_id] = event
                next(progress)
        next(progress, None)
        return answers
