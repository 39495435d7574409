"""What a generator's prompt is made of: a text, token ids, or a conversation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import EmptyInput, InputTooLong, InvalidRequest
from service.messages import ChatMessage, Decoding, GenerateRequest
from service.options import EngineOptions
from service.worker.loading import Loaded
from service.worker.tasks.generate import Generate
from service.worker.tasks.task import Limits, WorkerTask
from tests import checkpoints

LIMITS = Limits(max_prompt_tokens=32, max_characters=400, max_new_tokens=64, max_total_tokens=64)
MARK = "<rating:{{ '9' if message.role == 'user' else '1' }}>"
TEMPLATE = f"{{% for message in messages %}}{MARK}{{{{ message.content }}}}{{% endfor %}}"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> WorkerTask:
    found = checkpoints.generator(tmp_path_factory.mktemp("checkpoints") / "generator")
    return Generate(found.tokenizer, found.config, replace(found.manifest, chat_template=TEMPLATE), LIMITS)


def prompt(task: WorkerTask, **fields: object) -> list[int]:
    [part] = task.prepare(GenerateRequest(**{"id": "g", "text": "", **fields}))
    [spec] = part.specs
    return spec.prompt


def said(*turns: str) -> tuple[ChatMessage, ...]:
    return tuple(ChatMessage(role=("user", "assistant")[number % 2], content=turn) for number, turn in enumerate(turns))


def test_a_conversation_is_written_by_the_checkpoints_template(task: WorkerTask) -> None:
    assert prompt(task, messages=said("tired", "so", "am I")) == prompt(
        task, text="<rating:9>tired<rating:1>so<rating:9>am I"
    )


def test_token_ids_are_the_prompt_as_they_are(task: WorkerTask) -> None:
    assert prompt(task, token_ids=(7, 5, 7)) == [7, 5, 7]
    most = task.config.vocab_size - 1
    said = f"a token id in the prompt is {most + 1}, expected 0 to {most}"
    with pytest.raises(InvalidRequest, match=said) as refused:
        prompt(task, token_ids=(7, most + 1))
    assert refused.value.details["parameter"] == "text"
    with pytest.raises(InputTooLong, match="the prompt has 33 tokens, the limit is 32"):
        prompt(task, token_ids=(7,) * 33)


def test_what_is_wrong_with_a_conversation_is_said(task: WorkerTask) -> None:
    with pytest.raises(EmptyInput, match="the conversation is empty"):
        prompt(task, messages=said(" ", ""))
    with pytest.raises(InputTooLong, match=r"the conversation has \d+ tokens, the limit is 32"):
        prompt(task, messages=said("where is the station? " * 4))
    with pytest.raises(InputTooLong, match="a message has 540 characters, the limit is 400"):
        prompt(task, messages=said("㍿" * 135))  # each becomes four
    assert task.whole_texts(GenerateRequest(id="g", text="", messages=said("a", "bc"))) == {"the conversation": "a\nbc"}


def test_no_template_no_conversations(task: WorkerTask) -> None:
    plain = replace(task, manifest=replace(task.manifest, chat_template=""))
    with pytest.raises(InvalidRequest, match="generator@1 has no chat template: it goes on with texts"):
        prompt(plain, messages=said("hello"))


def test_a_template_that_refuses_is_the_clients_error(task: WorkerTask) -> None:
    strict = replace(task, manifest=replace(task.manifest, chat_template="{{ raise_exception('no') }}"))
    with pytest.raises(InvalidRequest, match="the chat template refuses these messages: no"):
        prompt(strict, messages=said("hello"))


def test_what_the_rest_of_the_room_is_too_small_for_names_the_parameter(task: WorkerTask) -> None:
    asked = GenerateRequest(id="g", text="", token_ids=(7,) * 10, decoding=Decoding(max_new_tokens=60))
    with pytest.raises(InvalidRequest, match="max_new_tokens is 60, the limit after a prompt of 10 tokens is 54") as no:
        task.prepare(asked)
    assert no.value.details["parameter"] == "max_new_tokens"


def test_a_checkpoint_says_whether_it_takes_messages_and_a_broken_template_is_not_served(tmp_path: Path) -> None:
    found = checkpoints.generator(tmp_path / "generator")
    for template, takes in (("", False), (TEMPLATE, True)):
        with_it = replace(found, manifest=replace(found.manifest, chat_template=template))
        assert Loaded.of("g", with_it, EngineOptions(slots=2)).info.takes_messages is takes
    broken = replace(found, manifest=replace(found.manifest, chat_template="{% if %}"))
    with pytest.raises(ValueError, match="the chat template is not Jinja"):
        Loaded.of("g", broken, EngineOptions(slots=2))
