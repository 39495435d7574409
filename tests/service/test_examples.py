"""The examples of the shipped models, sent through the gateway to engines that run here, without Ray."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from models import checkpoint
from models.registry import Registry
from service.config import Settings
from service.gateway.app import create_app
from service.messages import Event, ModelInfo, Request
from service.observability.metrics import GatewayMetrics
from service.options import EngineOptions
from service.worker.text_engine import TextEngine


class EngineWorker:
    """An engine as the gateway sees a worker."""

    def __init__(self, name: str, engine: TextEngine) -> None:
        self.name, self._engine = name, engine

    def submit(self, requests: Sequence[Request]) -> AsyncIterator[list[Event]]:
        return self._engine.submit(requests)

    async def cancel(self, request_ids: Sequence[str]) -> None:
        self._engine.cancel(request_ids)

    async def describe(self) -> ModelInfo:
        return self._engine.info

    async def canary(self) -> None:
        await self._engine.canary("canary")

    async def reload(self, reference: str | None) -> ModelInfo:
        raise AssertionError("no test reloads")

    async def metrics(self) -> list[tuple[str, bytes]]:
        return []


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    settings = Settings()
    with ExitStack() as stack:
        workers = {}
        for name, model in settings.models.items():
            loaded = checkpoint.load(Registry(settings.registry).resolve(model.checkpoint))
            engine = TextEngine(name, loaded, EngineOptions(slots=8))
            stack.callback(engine.close)
            workers[name] = EngineWorker(name, engine)
        yield create_app(settings, workers, GatewayMetrics(list(workers)))


@pytest.fixture(scope="module")
def answers(app: FastAPI) -> dict[str, dict[str, Any]]:
    """What each example of the page is answered with, by task and by what it shows."""
    return asyncio.run(ask_all(app))


async def ask_all(app: FastAPI) -> dict[str, dict[str, Any]]:
    transport = httpx.ASGITransport(app=app)
    found: dict[str, dict[str, Any]] = {}
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://g") as client:
        document = (await client.get("/openapi.json")).json()
        for task in ("translate", "generate", "classify"):
            content = document["paths"][f"/{task}"]["post"]["requestBody"]["content"]["application/json"]
            found[task] = {}
            for name, example in content["examples"].items():
                response = await client.post(f"/{task}", json=example["value"], timeout=60)
                assert response.status_code == 200, (task, name, response.text)
                events = [line.removeprefix("data:") for line in response.text.splitlines() if line.startswith("data:")]
                found[task][name] = [json.loads(events[-1])] if example["value"].get("stream") else response.json()
    return found


def texts(answer: list[dict[str, Any]], field: str) -> list[str]:
    every = [one[field] for result in answer for one in (result, *result.get("alternatives", ()))]
    assert all(text.strip() for text in every), answer
    return every


def test_the_translators_examples_are_translated(answers: dict[str, dict[str, Any]]) -> None:
    said = {
        name: texts(answer, "generated_text" if name == "A stream" else "translation_text")
        for name, answer in answers["translate"].items()
    }
    assert "tired" in said["One text, French to English"][0]
    assert "gare" in said["Several, English to French"][0]
    assert "coffee" in said["Korean to English"][0]
    assert all("station" in text for text in said["The best of a beam search"])
    assert said["With a given beginning, and where each word comes from"][0].startswith("I feel very tired")
    assert "keys" in said["A stream"][0]


def test_the_generators_examples_are_continued_in_korean(answers: dict[str, dict[str, Any]]) -> None:
    for name, answer in answers["generate"].items():
        for text in texts(answer, "generated_text"):
            assert any("가" <= character <= "힣" for character in text), (name, text)


def test_the_classifiers_examples_get_the_right_labels(answers: dict[str, dict[str, Any]]) -> None:
    best = {name: [scores[0]["label"] for scores in answer] for name, answer in answers["classify"].items()}
    assert best == {"One text": ["positive"], "Several": ["positive", "negative"]}
