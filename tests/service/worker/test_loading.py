"""A checkpoint as it is made ready to answer: what it takes, and what is refused."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoint import Checkpoint
from models.native import library
from models.precision import Precision, resolve_precision
from service.messages import Decoding, GenerateRequest, Request, TranslateRequest
from service.options import EngineOptions
from service.worker import memory
from service.worker.loading import Loaded
from service.worker.text_engine import TextEngine
from tests import checkpoints

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = str(ROOT / "models/checkpoints")

MAKERS = [checkpoints.translator, checkpoints.generator, checkpoints.classifier]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    made: Checkpoint = request.param(tmp_path)
    return made


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "float32"},
        {"precision": "bfloat16", "slots": 3},
        {"precision": "auto", "max_prompt_tokens": 20},
    ],
    ids=str,
)
def test_the_computed_size_of_the_cache_is_what_is_allocated(
    checkpoint: Checkpoint, options: dict, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    loaded = Loaded.of("it", checkpoint, EngineOptions(**options))
    cache = loaded.layout.allocate()
    assert loaded.info.kv_cache_bytes == loaded.layout.nbytes == cache.nbytes
    assert (cache.nbytes > 0) == (loaded.info.task != "classify")
    assert f"key/value cache {cache.nbytes / 2**20:.1f} MiB" in caplog.text


def test_a_cache_that_does_not_fit_is_refused_with_the_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = checkpoints.generator(tmp_path)
    options = {"prefix_slots": 3, "precision": "float32"}
    slot = Loaded.of("it", made, EngineOptions(slots=1, **options)).layout.nbytes // 4
    monkeypatch.setattr(memory, "available_bytes", lambda device: 100 * slot + slot // 2)
    with pytest.raises(ValueError, match="key/value cache") as refused:
        Loaded.of("it", made, EngineOptions(slots=1000, **options))
    said = str(refused.value)
    assert "of 1000 slots and 3 prefix_slots for 64 tokens" in said
    assert f"needs {1003 * slot / 2**20:.1f} MiB" in said
    assert f"{100.5 * slot / 2**20:.1f} MiB are available on cpu" in said
    assert "enough for 97 slots and 3 prefix_slots" in said
    assert all(setting in said for setting in ("slots", "max_prompt_tokens", "max_new_tokens"))
    assert Loaded.of("it", made, EngineOptions(slots=97, **options)).info.slots == 97


def test_a_cache_fits_where_nobody_knows_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: None)
    assert Loaded.of("it", checkpoints.generator(tmp_path), EngineOptions(slots=10**9)).info.slots == 10**9


def test_what_the_manifest_says_of_pairs_and_examples_is_told(checkpoint: Checkpoint) -> None:
    told = {"takes_pairs": True, "examples": {"One": {"inputs": "a"}}}
    checkpoint = replace(checkpoint, manifest=replace(checkpoint.manifest, **told))
    info = Loaded.of("it", checkpoint, EngineOptions(slots=4, precision="float32")).info
    assert {name: getattr(info, name) for name in told} == told


def test_prefixes_are_kept_in_slots_of_their_own_where_a_prompt_is_part_of_the_text(checkpoint: Checkpoint) -> None:
    with_, without = (
        Loaded.of("it", checkpoint, EngineOptions(slots=4, prefix_slots=number, precision="float32")).layout
        for number in (2, 0)
    )
    is_generator = checkpoint.manifest.task == "generate"
    assert (with_.size.slots, without.size.slots) == (6 if is_generator else 4, 4)
    assert with_.nbytes * 4 == without.nbytes * (6 if is_generator else 4)


@pytest.mark.parametrize("limit", ["max_prompt_tokens", "max_new_tokens"])
def test_a_limit_beyond_the_models_own_is_refused_with_both(tmp_path: Path, limit: str) -> None:
    with pytest.raises(ValueError, match=rf"{limit} is 999, the model's own limit is 4\d"):
        Loaded.of("it", checkpoints.translator(tmp_path), EngineOptions(**{limit: 999}))


def test_a_queue_in_which_a_long_prompt_could_never_wait_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"max_waiting_tokens is 40, below max_prompt_tokens 63"):
        Loaded.of("it", checkpoints.generator(tmp_path), EngineOptions(max_waiting_tokens=40))


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_the_log_says_the_precision_and_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, precision: Precision
) -> None:
    caplog.set_level(logging.INFO)
    loaded = Loaded.of("it", checkpoints.generator(tmp_path), EngineOptions(precision=precision, device="cpu"))
    computed, reason = resolve_precision(precision, torch.device("cpu"))
    assert loaded.info.precision == computed
    assert f", {computed} ({reason}; {library.told()}) on cpu, " in caplog.text


@pytest.mark.parametrize("limit", [None, 5])
async def test_what_the_info_allows_the_shortest_request_gets(checkpoint: Checkpoint, limit: int | None) -> None:
    if checkpoint.manifest.task == "classify":
        pytest.skip("nothing is generated")
    engine = TextEngine("it", checkpoint, EngineOptions(max_new_tokens=limit))
    try:
        most = engine.info.max_new_tokens
        for count, code in ((most, None), (most + 1, "invalid_request")):
            decoding = Decoding(max_new_tokens=count)
            request: Request = GenerateRequest(id="it", text="x", decoding=decoding)
            if checkpoint.manifest.task == "translate":
                request = TranslateRequest(
                    id="it", text="x", source_language="fr", target_language="en", decoding=decoding
                )
            assert getattr(await engine.answer(request), "code", None) == code
    finally:
        engine.close()


def test_the_info_says_how_many_may_wait_and_how_long_a_text_may_be(checkpoint: Checkpoint) -> None:
    info = Loaded.of("it", checkpoint, EngineOptions(max_waiting=7)).info
    assert info.max_waiting == 7
    if checkpoint.manifest.task == "translate":
        assert info.max_characters is None, "it is split"
    else:
        assert info.max_characters is not None
        assert info.max_characters >= 4 * info.max_prompt_tokens


@pytest.mark.parametrize("name", ["translator", "generator", "classifier"])
def test_a_model_is_loaded_and_answers_without_the_compiler_of_pytorch(name: str) -> None:
    """Which takes 70 MB of the process that imports it, and a second."""
    program = f"""
import asyncio, os, sys
from models.registry import Registry
from service.config import Settings
from service.worker.text_engine import TextEngine
options, registry = Settings().models[{name!r}], Registry({SHIPPED!r})
engine = TextEngine({name!r}, registry.load(options.checkpoint, stored=True), options, task=options.task)
asyncio.run(engine.canary("canary"))
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules], flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
