"""One checkpoint, ready to answer: its weights converted, its key/value cache allocated, its engine running.

It never changes: a reload makes another one. Knows nothing of who calls it, and of Ray or HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from models.checkpoint import PRETRAIN, Checkpoint
from models.formats import most_characters
from models.precision import Precision, convert, resolve_device, resolve_precision
from models.threads import serial
from models.tokenizer import Tokenizer
from service.engine.async_engine import AsyncEngine
from service.engine.calls import Call
from service.engine.decoding import within_characters
from service.engine.engine import Engine
from service.engine.holding import WaitingTexts
from service.engine.memory import CacheLayout, mib
from service.engine.prefixes import PrefixStore
from service.engine.preparation import Preparation
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.stats import Observer
from service.engine.tasks import REQUESTS, Limits, Task, make_task, texts_of
from service.errors import InvalidRequest
from service.messages import Event, ModelInfo, Request

log = logging.getLogger("triptych.engine")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What an operator may choose; None takes the model's own limit."""

    slots: int = 64
    prefix_slots: int = 16  # of prompts that were read before; only where a model can go on from a part of one
    max_prompt_tokens: int | None = None
    max_new_tokens: int | None = None
    prefill_tokens: int = 512  # padded prompt tokens a step may prefill
    max_waiting: int = 1024  # requests
    max_waiting_tokens: int = 65536  # of their prompts
    device: str = "auto"
    precision: Precision = "auto"


SHORTEST_PROMPT = 2  # tokens: the start token and one of a text


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A checkpoint whose weights are converted and on their device, before anything runs on it."""

    checkpoint: Checkpoint
    model: Any
    device: torch.device
    layout: CacheLayout
    chunked: bool  # prompts can be read in pieces
    limits: Limits
    options: EngineOptions
    info: ModelInfo

    @classmethod
    @serial()
    def of(cls, name: str, checkpoint: Checkpoint, options: EngineOptions) -> Loaded:
        """Takes the checkpoint's model over.

        Raises ValueError on a setting that model or memory cannot keep, and for a checkpoint that is not to be served.
        """
        config, manifest = checkpoint.config, checkpoint.manifest
        if manifest.task == PRETRAIN:
            raise ValueError(
                f"{manifest.name}@{manifest.version} is a pre-trained encoder, which answers no requests: fine-tune it "
                f"with a recipe of the task classify that has start: {manifest.name}, and serve what comes of it"
            )
        device = resolve_device(options.device)
        precision, reason = resolve_precision(options.precision, device)
        max_prompt = _limit("max_prompt_tokens", options.max_prompt_tokens, config.max_prompt)
        if options.max_waiting_tokens < max_prompt:
            raise ValueError(
                f"max_waiting_tokens is {options.max_waiting_tokens}, below max_prompt_tokens {max_prompt}: "
                "so long a prompt could never wait"
            )
        parameters = sum(p.numel() for p in checkpoint.model.parameters())
        model, dtype = convert(checkpoint.model, precision, device)
        shape = config.cache_shape
        # Prompt and continuation share the positions; and a prompt can be read in pieces.
        causal = shape.layers > 0 and not shape.cross
        room = config.max_prompt + 1 - SHORTEST_PROMPT if causal else config.max_output
        max_new = _limit("max_new_tokens", options.max_new_tokens, room)
        total = min(config.max_prompt + 1, max_prompt + max_new) if causal else None
        prefix_slots = options.prefix_slots if causal else 0
        layout = CacheLayout(
            shape=shape,
            slots=options.slots + prefix_slots,
            prefix_slots=prefix_slots,
            length=total or max_new,
            source_length=max_prompt if shape.cross else 0,
            dtype=dtype,
        )
        layout.check_fits(device)  # the weights are there already, and count
        # A target prefix has as many tokens as there may be new ones.
        max_characters = most_characters(checkpoint.tokenizer, max(max_prompt, max_new))
        version = f"{manifest.name}@{manifest.version}"
        log.info(
            "%s: %s, %.1f M parameters, %s (%s) on %s, %d slots, key/value cache %s",
            name,
            version,
            parameters / 1e6,
            precision,
            reason,
            device,
            options.slots,
            mib(layout.nbytes),
        )
        info = ModelInfo(
            name=name,
            task=manifest.task,
            version=version,
            architecture=config.architecture,
            parameters=parameters,
            device=str(device),
            precision=precision,
            slots=options.slots,
            max_prompt_tokens=max_prompt,
            max_new_tokens=max_new,
            language_pairs=tuple((s, t) for s, t in manifest.language_pairs),
            labels=tuple(manifest.labels),
            takes_pairs=manifest.takes_pairs,
            examples=dict(manifest.examples),
            scores=dict(manifest.scores),
            licence=manifest.licence,
            kv_cache_bytes=layout.nbytes,
            max_characters=max_characters,
            max_waiting=options.max_waiting,
        )
        limits = Limits(
            slots=options.slots,
            max_prompt_tokens=max_prompt,
            max_characters=max_characters,
            max_new_tokens=max_new,
            max_total_tokens=total,
        )
        return cls(
            checkpoint=checkpoint,
            model=model,
            device=device,
            layout=layout,
            chunked=causal,
            limits=limits,
            options=options,
            info=info,
        )

    @serial()
    def start(self, observer: Observer | None) -> Core:
        """Allocate the cache and start the engine's thread."""
        cache, options, shape = self.layout.allocate(self.device), self.options, self.layout.shape
        runner = Runner(self.model, cache, device=self.device, pad_id=self.checkpoint.config.pad_id)
        scheduler = Scheduler(
            slots=options.slots,
            prefill_tokens=options.prefill_tokens,
            chunked=self.chunked,
            prefixes=PrefixStore(range(options.slots, self.layout.slots)),
        )
        untokenized = WaitingTexts("the text was being tokenized", observer)
        engine = AsyncEngine(
            Engine(runner, scheduler, shape, observer),
            max_waiting=options.max_waiting,
            max_waiting_tokens=options.max_waiting_tokens,
            expected=untokenized,
        )
        task = make_task(self.checkpoint, self.limits)
        return Core(self.info, self.limits, task, self.checkpoint.tokenizer, engine, Preparation(untokenized))


@dataclass(frozen=True)
class Core:
    info: ModelInfo
    limits: Limits
    task: Task
    tokenizer: Tokenizer
    engine: AsyncEngine
    preparation: Preparation

    @property
    def alive(self) -> int:
        """Requests that are being tokenized, wait or run."""
        return len(self.preparation) + self.engine.alive

    def check(self, request: Request) -> None:
        """What can be said without reading the text. Raises a ServiceError when the request cannot be served."""
        if not isinstance(request, REQUESTS[self.info.task]):
            raise InvalidRequest(f"{self.info.name} answers {self.info.task}, not a {type(request).__name__}")
        for name, text in texts_of(request).items():
            within_characters(name, text, self.limits.max_characters)

    def call(self, request: Request, emit: Callable[[Event], None]) -> Call:
        """Of a request that was checked; not started yet. Raises a ServiceError when it cannot be served."""
        return Call(request, self.task, self.tokenizer, emit)


def _limit(name: str, asked: int | None, own: int) -> int:
    if asked is not None and asked > own:
        raise ValueError(f"{name} is {asked}, the model's own limit is {own}")
    return asked or own
