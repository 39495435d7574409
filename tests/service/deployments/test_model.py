"""A replica without Ray around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models.checkpoint import save
from models.lora import merge
from models.registry import Registry
from service.config import Settings
from service.deployments.model import ModelReplica
from service.messages import Decoding, Failure, GenerateRequest, ModelInfo
from tests import checkpoints


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return checkpoints.registry(tmp_path)


@pytest.fixture
def replica(registry: Path) -> Iterator[ModelReplica]:
    logger, threads = logging.getLogger("triptych"), torch.get_num_threads()
    before = (logger.handlers[:], logger.level, logger.propagate)
    made = ModelReplica("generator", Settings(registry=str(registry)))
    yield made
    made._engine.close()
    torch.set_num_threads(threads)
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def sample(replica: ModelReplica, name: str, **labels: str) -> float | None:
    return replica._metrics.registry.get_sample_value(name, {"model": "generator", **labels})


async def test_it_takes_what_the_settings_name_as_the_registry_has_it_now(
    replica: ModelReplica, registry: Path, tmp_path: Path
) -> None:
    assert (await replica.describe()).version == "generator@1"
    Registry(registry).publish("generator", tmp_path / "generator")
    info = await replica.reload(None)
    assert isinstance(info, ModelInfo)
    assert info == await replica.describe()
    assert info.version == "generator@2"
    assert sample(replica, "triptych_reloads_total", outcome="success") == 1
    labels = {"architecture": "gpt", "device": info.device, "precision": info.precision}
    assert sample(replica, "triptych_model_info", version="generator@2", **labels) == 1
    assert sample(replica, "triptych_model_info", version="generator@1", **labels) is None
    answer = await replica._engine.answer(GenerateRequest(id="g", text="배우"))
    assert answer.model_version == "generator@2"  # type: ignore[union-attr]


async def test_it_serves_adapters_that_are_kept_beside_a_base_of_the_registry(
    replica: ModelReplica, registry: Path, tmp_path: Path
) -> None:
    base = Registry(registry).load("generator@1")
    model = checkpoints.beside(tmp_path / "beside", base, "generator@1", "generator")
    Registry(registry).publish("generator", tmp_path / "beside")
    request = GenerateRequest(id="g", text="배우", decoding=Decoding(max_new_tokens=8))
    before = await replica._engine.answer(request)
    info = await replica.reload(None)
    assert isinstance(info, ModelInfo)
    assert info.version == "generator@2"
    beside = await replica._engine.answer(request)
    merge(model)
    save(tmp_path / "merged", model=model, tokenizer=base.tokenizer, manifest=base.manifest, dtype=torch.float32)
    Registry(registry).publish("generator", tmp_path / "merged")
    assert isinstance(await replica.reload(None), ModelInfo)
    merged = await replica._engine.answer(request)
    assert merged.model_version == "generator@3"  # type: ignore[union-attr]
    assert merged.text == beside.text != before.text  # type: ignore[union-attr]


async def test_it_takes_the_version_that_is_asked_for(replica: ModelReplica, registry: Path, tmp_path: Path) -> None:
    Registry(registry).publish("generator", tmp_path / "generator")
    for version in ("generator@2", "generator@1"):
        info = await replica.reload(version)
        assert isinstance(info, ModelInfo)
        assert info.version == version


async def test_a_reload_that_fails_is_counted_and_told(replica: ModelReplica) -> None:
    failure = await replica.reload("generator@7")
    assert isinstance(failure, Failure)
    assert failure.code == "reload_failed"
    assert "goes on with generator@1: no version '7' of 'generator': there are 1" in failure.message
    assert sample(replica, "triptych_reloads_total", outcome="failure") == 1
    assert await replica.canary("still-there") is None


async def test_a_caller_that_leaves_does_not_stop_a_reload_halfway(
    replica: ModelReplica, registry: Path, tmp_path: Path
) -> None:
    Registry(registry).publish("generator", tmp_path / "generator")
    asking = asyncio.create_task(replica.reload(None))
    await asyncio.sleep(0)
    asking.cancel()
    async with asyncio.timeout(10):
        while sample(replica, "triptych_reloads_total", outcome="success") == 0:
            await asyncio.sleep(0.01)
    assert (await replica.describe()).version == "generator@2"


async def test_the_size_of_the_cache_is_described_and_measured(replica: ModelReplica) -> None:
    info = await replica.describe()
    assert info.kv_cache_bytes > 0
    assert sample(replica, "triptych_kv_cache_bytes") == info.kv_cache_bytes
