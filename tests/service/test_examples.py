"""What people copy: the examples of the shipped models and the README's, sent through the gateway to engines that run
here, without Ray; and the commands that start-up, the cards and the README show.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from models import checkpoint
from models.registry import Registry
from models.training.card import asking
from service.config import Settings
from service.deployments.local import EngineWorker
from service.gateway.app import create_app
from service.messages import TASKS
from service.observability.metrics import GatewayMetrics
from service.options import EngineOptions
from service.serving.announcing import commands
from service.worker.text_engine import TextEngine

COMPARED = {
    "inputs": {
        "source_sentence": "배우들의 연기가 훌륭했다",
        "sentences": ["연기를 정말 잘한다", "지루해서 끝까지 못 봤다"],
    }
}
# (task, body, the last line of the answer) of each command in the README.
README_COMMANDS = [
    (task, body, answer.strip().splitlines()[-1].removeprefix("data:"))
    for task, body, answer in re.findall(
        r"^\$ curl [^\n]*8000/(\w+) [^\n]*\n +-d '(.*?)'\n(.*?)(?=^\$|^```)",
        (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
]


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    settings = Settings()
    with ExitStack() as stack:
        workers = {}
        for name, model in settings.models.items():
            loaded = checkpoint.load(Registry(settings.registry).resolve(model.checkpoint))
            engine = TextEngine(name, loaded, EngineOptions(slots=8), task=model.task)
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
        for task in TASKS:
            content = document["paths"][f"/{task}"]["post"]["requestBody"]["content"]["application/json"]
            examples = {name: example["value"] for name, example in content["examples"].items()}
            assert await examples_announced(client, task) == examples
            found[task] = {name: await ask(client, task, body) for name, body in examples.items()}
        found["embed"]["Compared with others"] = await ask(client, "embed", COMPARED)
        found["README"] = {body: await ask(client, task, json.loads(body)) for task, body, _ in README_COMMANDS}
    return found


async def ask(client: httpx.AsyncClient, task: str, body: dict[str, Any]) -> list[Any]:
    response = await client.post(f"/{task}", json=body, timeout=60)
    assert response.status_code == 200, (task, body, response.text)
    events = [line.removeprefix("data:") for line in response.text.splitlines() if line.startswith("data:")]
    return [json.loads(events[-1])] if body.get("stream") else response.json()


async def examples_announced(client: httpx.AsyncClient, task: str) -> dict[str, Any]:
    models = (await client.get("/info")).json()["models"]
    return next(model["examples"] for model in models if model["task"] == task)


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


def test_the_encoder_gives_vectors_and_how_similar_texts_are(answers: dict[str, dict[str, Any]]) -> None:
    [vector] = answers["embed"]["One text"]
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)
    alike, other = answers["embed"]["Compared with others"]
    assert other < alike < 1


def said(answer: Any) -> Any:
    """The texts and labels of an answer, without its numbers."""
    if isinstance(answer, list):
        return [said(one) for one in answer]
    if not isinstance(answer, dict):
        return answer
    words = ("translation_text", "generated_text", "label", "alternatives")
    return {name: said(value) for name, value in answer.items() if name in words}


def fields(answers: list[Any]) -> list[Any]:
    return [sorted(answer) if isinstance(answer, dict) else fields(answer) for answer in answers]


def test_the_readmes_commands_are_answered_as_it_says(answers: dict[str, dict[str, Any]]) -> None:
    assert len(README_COMMANDS) == 5
    for _, body, shown in README_COMMANDS:
        answer = json.loads(shown)
        shown_answers = answer if isinstance(answer, list) else [answer]
        assert said(answers["README"][body]) == said(shown_answers)
        assert fields(answers["README"][body]) == fields(shown_answers)


def test_start_up_and_the_cards_show_the_same_command(app: FastAPI) -> None:
    settings = Settings()
    for model in settings.models.values():
        manifest = checkpoint.read_manifest(Registry(settings.registry).resolve(model.checkpoint))
        if model.task != manifest.served_as:  # then its examples are of another task
            continue
        [command] = commands("http://127.0.0.1:8000", [{"task": model.task, "examples": manifest.examples}])
        assert shlex.split(command) == shlex.split(asking(manifest))
        assert f"curl http://127.0.0.1:8000/{model.task} " in command
