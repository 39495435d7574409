"""Engines with tiny checkpoints, and how they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.messages import Decoding, Event, Request, TranslateRequest
from service.options import EngineOptions
from service.worker.text_engine import TextEngine
from tests import checkpoints


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TextEngine]]:
    root: Path = tmp_path_factory.mktemp("engines")
    made = {
        make.__name__: TextEngine(make.__name__, make(root / make.__name__), EngineOptions(slots=4))
        for make in (checkpoints.translator, checkpoints.generator, checkpoints.classifier)
    }
    yield made
    for engine in made.values():
        engine.close()


def translate(name: str, text: str = "Je suis fatigué.", **fields: object) -> TranslateRequest:
    return TranslateRequest(
        id=name, text=text, source_language="fr", target_language="en", decoding=Decoding(max_new_tokens=12), **fields
    )


async def events_of(engine: TextEngine, *requests: Request) -> dict[str, list[Event]]:
    events: dict[str, list[Event]] = {request.id: [] for request in requests}
    async for batch in engine.submit(requests):
        for event in batch:
            events[event.request_id].append(event)
    return events
