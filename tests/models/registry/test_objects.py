"""What is asked of an object store, where the store or the line to it does not behave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from models.registry import RegistryError, Unreachable, objects
from models.registry.objects import Objects, local_path

Put = Callable[..., object]


@pytest.fixture
def store() -> Objects:
    return Objects(f"memory://{uuid4().hex}/models")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that are not waited."""
    seconds: list[float] = []
    monkeypatch.setattr(objects.time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def put_with(store: Objects, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Put], Put]], None]:
    """Gives the store's client another way to write, made of its own."""

    def now(change: Callable[[Put], Put]) -> None:
        monkeypatch.setattr(store._fs, "pipe_file", change(store._fs.pipe_file))

    return now


def test_what_is_there_says_whose_it_is_when_the_answer_to_a_creation_is_lost(store, put_with, waits):
    def lost(put: Put) -> Put:
        def write(*arguments: object, **how: object) -> None:
            put(*arguments, **how)
            raise ConnectionResetError("no answer")

        return write

    put_with(lost)
    assert store.create("key", b"mine")
    assert not store.create("key", b"another's")
    assert store.read("key") == b"mine"
    assert waits == []


def test_a_creation_that_was_refused_for_another_reason_is_tried_again(store, put_with, waits):
    refusals: list[Exception] = [PermissionError("not now"), ConnectionResetError("nor now")]

    def refusing(put: Put) -> Put:
        def write(*arguments: object, **how: object) -> None:
            if refusals:
                raise refusals.pop()
            put(*arguments, **how)

        return write

    put_with(refusing)
    assert store.create("key", b"mine")
    assert store.read("key") == b"mine"
    assert waits == [0.1, 0.2]


def test_a_creation_that_is_refused_every_time_ends(store, put_with, waits):
    tries = []

    def refusing(put: Put) -> Put:
        def write(*arguments: object, **how: object) -> None:
            tries.append(arguments)
            raise PermissionError("read only")

        return write

    put_with(refusing)
    with pytest.raises(Unreachable, match="models/key cannot be created: may it be written to"):
        store.create("key", b"mine")
    assert (len(tries), len(waits)) == (4, 3)


def test_what_is_gone_already_may_be_deleted(store):
    store.write("folder/here", b"1")
    store.delete(["folder/gone", "folder/here"])
    assert store.list("folder") == {}


def test_what_is_not_there_and_a_store_that_does_not_answer_are_told_apart(store, monkeypatch):
    with pytest.raises(RegistryError, match="no nothing") as refusal:
        store.read("nothing")
    assert not isinstance(refusal.value, Unreachable)

    def late(path: str) -> bytes:
        raise TimeoutError("too late")

    monkeypatch.setattr(store._fs, "cat_file", late)
    with pytest.raises(Unreachable, match="models cannot be used: TimeoutError: too late"):
        store.read("nothing")


@pytest.mark.parametrize(
    ("root", "directory"),
    [
        ("models", Path("models")),
        (Path("s3:/models"), Path("s3:/models")),
        ("file:///srv/models", Path("/srv/models")),
        ("local:///srv/models", Path("/srv/models")),
        ("s3://bucket/models", None),
        ("zip://models::file:///srv/models.zip", None),
        ("file:///srv/models.zip::zip://models", None),
    ],
)
def test_a_path_and_a_file_url_are_directories_and_other_urls_are_none(root, directory):
    assert local_path(root) == directory
