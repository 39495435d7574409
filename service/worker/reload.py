"""The steps of a reload: another checkpoint loaded beside a running one, checked against it, and proved by a canary.

Knows nothing of the requests that wait meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from models.checkpoint import Checkpoint, CheckpointError
from models.registry import RegistryError
from service.engine.stats import Observer
from service.errors import ServiceError
from service.messages import ModelInfo
from service.options import EngineOptions
from service.worker import canary
from service.worker.engine_request import EngineRequest
from service.worker.loading import Core, Loaded

EXPECTED = (CheckpointError, RegistryError, ServiceError, ValueError, OSError)  # what a checkpoint may fail with


def load_beside(name: str, read: Callable[[], Checkpoint], options: EngineOptions, current: ModelInfo) -> Loaded:
    """What `read` returns, converted; raises ValueError where it cannot replace what is served now."""
    loaded = Loaded.of(name, read(), options, current.task)
    check_replaces(current, loaded.info)
    return loaded


async def finish_running(core: Core, patience_s: float) -> None:
    """Wait until the engine is idle: it computes nothing while another one starts. Raises TimeoutError."""
    until = time.monotonic() + patience_s
    while running := core.alive:
        if time.monotonic() > until:
            raise TimeoutError(f"{running} requests are not finished after {patience_s:g} s")
        await asyncio.sleep(0.002)


async def start_proved(loaded: Loaded, observer: Observer | None) -> Core:
    """Running, and with an answer to a canary. Raises ServiceError where there is none."""
    core = await asyncio.to_thread(loaded.start, observer)
    try:
        async with canary.patience(canary.TIMEOUT_S):
            await canary.ask(
                core.task,
                "canary-of-a-reload",
                lambda request, emit: EngineRequest(request, core.task, emit, time.monotonic()).start(core.engine),
            )
    except BaseException:
        await asyncio.to_thread(core.engine.close)
        raise
    return core


def reason_of(error: Exception) -> str:
    """In words; of what nobody expects with its type."""
    return str(error) if isinstance(error, EXPECTED) else f"{type(error).__name__}: {error}"


def check_replaces(old: ModelInfo, new: ModelInfo) -> None:
    """What clients could ask for stays possible. Raises ValueError."""
    for what, before, after in (
        ("language pair", old.language_pairs, new.language_pairs),
        ("label", old.labels, new.labels),
    ):
        if lost := [each if isinstance(each, str) else "-".join(each) for each in before if each not in after]:
            raise ValueError(f"{new.version} lacks the {what} {', '.join(lost)}, which {old.version} has")
    if old.takes_pairs and not new.takes_pairs:
        raise ValueError(f"{new.version} takes no pairs of texts, which {old.version} does")
    for limit in ("max_prompt_tokens", "max_new_tokens"):
        if getattr(new, limit) < getattr(old, limit):
            raise ValueError(
                f"{new.version} has room for {limit} {getattr(new, limit)}, {old.version} for {getattr(old, limit)}"
            )
