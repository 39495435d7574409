"""A model in this process, asked as a service is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.registry import RegistryError
from service.config import Settings
from service.deployments.local import LocalClient, chosen
from service.serving.asking import NotAnswered
from tests import checkpoints
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(registry=str(checkpoints.registry(tmp_path_factory.mktemp("tiny"), context=2048)))


@pytest.fixture(scope="module")
def generator(settings: Settings) -> Iterator[LocalClient]:
    client = LocalClient(settings, "generate", None)
    yield client
    client.close()


def test_it_answers_what_the_routes_answer(generator: LocalClient) -> None:
    status, info = generator.ask("/info")
    assert (status, [model["version"] for model in info["models"]]) == (200, ["generator@1"])
    body = {"inputs": ["배우", "영화"], "parameters": {"max_new_tokens": 5}}
    status, answers = generator.ask("/generate", body)
    assert (status, [[*answer] for answer in answers]) == (200, [["generated_text"]] * 2)
    status, refused = generator.ask("/classify", {"inputs": "x"})
    assert (status, refused["error"]["code"]) == (404, "unknown_model")
    status, refused = generator.ask("/generate", {"inputs": "x", "parameters": {"temperature": 0}})
    assert (status, refused["error"]["parameter"]) == (422, "parameters.temperature")


def test_a_stream_comes_token_by_token_and_says_what_an_answer_says(generator: LocalClient) -> None:
    asked = {"inputs": "배우", "parameters": {"max_new_tokens": 9}}
    events = list(generator.stream("/generate", {**asked, "stream": True}))
    whole = generator.ask("/generate", asked)[1][0]["generated_text"]
    assert events[-1]["generated_text"] == whole
    assert "".join(event["token"]["text"] for event in events) == whole
    with pytest.raises(NotAnswered) as refused:
        list(generator.stream("/generate", {**asked, "parameters": {"num_beams": 2}, "stream": True}))
    assert refused.value.status == 422


def test_who_stops_reading_a_stream_is_a_client_that_leaves(generator: LocalClient) -> None:
    asked = {"inputs": "배우", "parameters": {"max_new_tokens": 1900, "min_new_tokens": 1900}, "stream": True}
    events = generator.stream("/generate", asked)
    next(events)
    events.close()  # type: ignore[attr-defined]
    wait_for(lambda: "client left" in f"{_counted(generator)}" or 'status="499"' in _counted(generator), seconds=10)


def _counted(client: LocalClient) -> str:
    parts = [part for _, part in client._parts("/metrics", None)]
    return b"".join(parts).decode()


def test_several_threads_may_ask_at_the_same_time(generator: LocalClient) -> None:
    answers: list[int] = []
    body = {"inputs": "배우", "parameters": {"max_new_tokens": 5}}
    threads = [threading.Thread(target=lambda: answers.append(generator.ask("/generate", body)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [200] * 8


def test_nothing_of_the_users_state_is_touched_and_nothing_is_left(settings: Settings, tmp_path: Path) -> None:
    gateway = settings.gateway.model_copy(update={"keys": tmp_path / "no-keys.yaml", "operations_port": 8001})
    kept = settings.model_copy(update={"state": tmp_path / "state", "gateway": gateway})
    before = threading.active_count()
    client = LocalClient(kept, "classify", None)
    assert client.ask("/classify", {"inputs": "돈이 아깝다"})[0] == 200
    client.close()
    assert not (tmp_path / "state").exists()
    wait_for(lambda: threading.active_count() <= before + 1, seconds=10)


def test_the_model_is_one_of_the_settings_or_a_checkpoint(settings: Settings) -> None:
    assert chosen(settings, "classify", None)[0] == "classifier"
    assert chosen(settings, "embed", "encoder")[1].threads == 1
    assert chosen(settings, "classify", "mine@3")[1].checkpoint == "mine@3"
    without = settings.model_copy(update={"models": {"generator": settings.models["generator"]}})
    with pytest.raises(ValueError, match="no model of the settings serves classify: there are generator"):
        chosen(without, "classify", None)


def test_what_cannot_be_served_is_refused(settings: Settings) -> None:
    with pytest.raises(RegistryError, match="no model 'nobody'"):
        LocalClient(settings, "classify", "nobody")
    with pytest.raises(ValueError, match="generator@1 is made to generate, not to classify"):
        LocalClient(settings, "classify", "generator@1")
