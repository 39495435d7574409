"""Checkpoints that cannot replace what is served: the old weights go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from models.checkpoint import Checkpoint, load
from models.registry import RegistryError
from service.errors import ReloadFailed
from service.messages import Completion
from service.options import EngineOptions
from service.worker import loading, memory
from service.worker.text_engine import TextEngine
from tests import checkpoints
from tests.service.worker.reload.conftest import another, ask, reading, version_of


def damaged(directory: Path) -> Callable[[], Checkpoint]:
    with (directory / "model.safetensors").open("r+b") as file:
        file.seek(-8, 2)
        file.write(b"\xff" * 8)
    return reading(directory)


def absent(directory: Path) -> Callable[[], Checkpoint]:
    def read() -> Checkpoint:
        raise RegistryError("no model 'nobody'")

    return read


def not_a_number(directory: Path) -> Callable[[], Checkpoint]:
    return reading(another(directory.parent / "nan", load(directory), version=3, noise=float("nan")))


@pytest.mark.parametrize(
    ("unsound", "reason"),
    [
        (damaged, "the file was changed"),
        (absent, "no model 'nobody'"),
        (not_a_number, "the canary's token 0 has the log-probability nan"),
    ],
)
async def test_an_unsound_checkpoint_leaves_the_old_weights_serving(
    engine: TextEngine, second: Path, unsound: Callable[[Path], Callable[[], Checkpoint]], reason: str
) -> None:
    before = await engine.answer(ask("before"))
    running = asyncio.create_task(engine.answer(ask("running", max_new_tokens=60)))
    with pytest.raises(ReloadFailed, match=f"goes on with generator@1: .*{reason}"):
        await engine.reload(unsound(second))
    assert isinstance(await running, Completion)
    after = await engine.answer(ask("after"))
    assert isinstance(before, Completion)
    assert isinstance(after, Completion)
    assert (after.text, after.model_version) == (before.text, "generator@1")


async def test_a_failed_conversion_leaves_the_old_weights_serving_and_a_later_reload_works(
    engine: TextEngine, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of something")

    with monkeypatch.context() as patched:
        patched.setattr(loading, "convert", broken)
        with pytest.raises(ReloadFailed, match=r"goes on with generator@1: RuntimeError: out of something"):
            await engine.reload(reading(second))
    assert await version_of(engine, "between") == "generator@1"
    assert (await engine.reload(reading(second))).version == "generator@2"


async def test_a_cache_that_does_not_fit_beside_the_old_one_interrupts_nobody(
    engine: TextEngine, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 1000)
    with pytest.raises(ReloadFailed, match="key/value cache"):
        await engine.reload(reading(second))
    assert not engine._holding.closed
    assert await version_of(engine) == "generator@1"


def of_another_task(root: Path) -> Checkpoint:
    return checkpoints.translator(root)


def with_less_room(root: Path) -> Checkpoint:
    return checkpoints.generator(root, context=64)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (of_another_task, "translator@1 is made to translate, this model to generate"),
        (with_less_room, "generator@1 has room for max_prompt_tokens 63, generator@1 for 4095"),
    ],
)
async def test_a_checkpoint_that_could_not_answer_what_clients_ask_is_refused(
    engine: TextEngine, tmp_path: Path, make: Callable[[Path], Checkpoint], reason: str
) -> None:
    with pytest.raises(ReloadFailed, match=reason):
        await engine.reload(lambda: make(tmp_path / "other"))


async def test_language_pairs_may_come_but_not_go(tmp_path: Path) -> None:
    made = checkpoints.translator(tmp_path / "1")
    pairs = made.manifest.language_pairs
    more = another(tmp_path / "2", load(tmp_path / "1"), 2, language_pairs=(*pairs, ("en", "ko")))
    less = another(tmp_path / "3", load(tmp_path / "1"), 3, language_pairs=pairs[:2])
    engine = TextEngine("translator", made, EngineOptions(slots=2))
    try:
        assert (await engine.reload(reading(more))).language_pairs[-1] == ("en", "ko")
        with pytest.raises(ReloadFailed, match="translator@3 lacks the language pair ko-en, en-ko, which translator@2"):
            await engine.reload(reading(less))
    finally:
        engine.close()


async def test_labels_may_change_places_but_not_go(tmp_path: Path) -> None:
    made = checkpoints.classifier(tmp_path / "1")
    turned = another(tmp_path / "2", load(tmp_path / "1"), 2, labels=("positive", "negative"))
    renamed = another(tmp_path / "3", load(tmp_path / "1"), 3, labels=("good", "negative"))
    engine = TextEngine("classifier", made, EngineOptions(slots=2))
    try:
        assert (await engine.reload(reading(turned))).labels == ("positive", "negative")
        with pytest.raises(ReloadFailed, match="classifier@3 lacks the label positive"):
            await engine.reload(reading(renamed))
    finally:
        engine.close()


async def test_pairs_of_texts_stay_possible(tmp_path: Path) -> None:
    checkpoints.classifier(tmp_path / "1")
    with_pairs = another(tmp_path / "2", load(tmp_path / "1"), 2, takes_pairs=True)
    without = another(tmp_path / "3", load(tmp_path / "1"), 3)
    engine = TextEngine("classifier", load(tmp_path / "1"), EngineOptions(slots=2))
    try:
        assert (await engine.reload(reading(with_pairs))).takes_pairs
        with pytest.raises(ReloadFailed, match="classifier@3 takes no pairs of texts, which classifier@2 does"):
            await engine.reload(reading(without))
    finally:
        engine.close()
