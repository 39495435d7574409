"""From a checkpoint to a core: its weights converted, its cache laid out and found to fit, its engine started.

Knows nothing of who calls it, and of Ray or HTTP.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch

from models.checkpoint import Checkpoint
from models.formats import most_characters
from models.interface import StateSize
from models.machine import give_back
from models.native import library
from models.precision import convert, resolve_device, resolve_precision
from models.threads import serial
from service.engine.engine import Engine
from service.engine.prefixes import PrefixStore
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.stats import Observer
from service.errors import InvalidRequest
from service.messages import ModelInfo, Request, Task
from service.options import EngineOptions
from service.worker.decoding import within_characters
from service.worker.engine_thread import EngineThread
from service.worker.memory import CacheLayout, mib
from service.worker.preparation import Preparation
from service.worker.tasks import task_for
from service.worker.tasks.task import Limits, WorkerTask

log = logging.getLogger("triptych.engine")

SHORTEST_PROMPT = 2  # tokens: the start token and one of a text


@dataclass(frozen=True)
class Core:
    """One checkpoint, ready to answer. It never changes: a reload makes another one."""

    info: ModelInfo
    task: WorkerTask
    engine: EngineThread
    preparation: Preparation

    @property
    def alive(self) -> int:
        """Requests that are being tokenized, wait or run."""
        return len(self.preparation) + self.engine.alive

    def characters(self, request: Request) -> int:
        """Of the request's texts; 0 of a request that another task is for."""
        return sum(map(len, self.task.texts(request).values())) if isinstance(request, self.task.REQUEST) else 0

    def check(self, request: Request) -> None:
        """What can be said without reading the text. Raises a ServiceError when the request cannot be served."""
        if not isinstance(request, self.task.REQUEST):
            raise InvalidRequest(f"{self.info.name} answers {self.info.task}, not a {type(request).__name__}")
        for name, text in self.task.whole_texts(request).items():
            within_characters(name, text, self.task.limits.max_characters)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A checkpoint whose weights are converted and on their device, before anything runs on it."""

    model: Any
    device: torch.device
    layout: CacheLayout
    task: WorkerTask
    options: EngineOptions
    info: ModelInfo

    @classmethod
    @serial()
    def of(cls, name: str, checkpoint: Checkpoint, options: EngineOptions, task: Task | None = None) -> Loaded:
        """To be served for `task`, or for what it was trained for. Takes the checkpoint's model over.

        Raises ValueError on a setting that model or memory cannot keep, and for a checkpoint that is not to be served.
        """
        config, manifest = checkpoint.config, checkpoint.manifest
        served, kind = task_for(manifest, task)
        if options.shortlist and (checkpoint.shortlist is None or served != "translate"):
            raise ValueError(
                f"shortlist is true, but {manifest.reference} has no table of tokens for {served}: "
                "`triptych shortlist` makes that of a translator"
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
        model, dtype = convert(kind.servable(checkpoint.model), precision, device)
        give_back()
        can = config.capabilities
        begins = len(manifest.format.begins) if manifest.format else 0  # which are no new tokens, but take room
        room = config.max_prompt + 1 - SHORTEST_PROMPT if can.shared_positions else config.max_output - begins
        max_new = _limit("max_new_tokens", options.max_new_tokens, room)
        total = min(config.max_prompt + 1, max_prompt + max_new) if can.shared_positions else None
        prefix_slots = options.prefix_slots if can.prefix_reuse else 0
        layout = CacheLayout(
            model=model,
            size=StateSize(
                slots=options.slots + prefix_slots,
                length=total or begins + max_new,
                source_length=max_prompt if can.memory else 0,
                dtype=dtype,
                device=device,
            ),
            prefix_slots=prefix_slots,
        )
        layout.check_fits()  # the weights are there already, and count
        # A target prefix has as many tokens as there may be new ones.
        max_characters = most_characters(checkpoint.tokenizer, max(max_prompt, max_new))
        version = manifest.reference
        log.info(
            "%s: %s, %.1f M parameters, %s (%s) on %s, %d slots, key/value cache %s",
            name,
            version,
            parameters / 1e6,
            precision,
            f"{reason}; {library.told()}" if device.type == "cpu" else reason,
            device,
            options.slots,
            mib(layout.nbytes),
        )
        info = ModelInfo(
            name=name,
            task=served,
            version=version,
            architecture=config.architecture,
            parameters=parameters,
            device=str(device),
            precision=precision,
            slots=options.slots,
            max_prompt_tokens=max_prompt,
            max_new_tokens=max_new,
            language_pairs=manifest.language_pairs,
            labels=manifest.labels,
            takes_pairs=manifest.takes_pairs,
            takes_messages=bool(manifest.chat_template),
            examples=manifest.examples if served == manifest.served_as else kind.borrowed(manifest.examples),
            scores=manifest.scores,
            licence=manifest.licence,
            kv_cache_bytes=layout.nbytes,
            max_characters=None if kind.SPLITS else max_characters,
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
            model=model,
            device=device,
            layout=layout,
            task=kind(
                checkpoint.tokenizer, config, manifest, limits, checkpoint.shortlist if options.shortlist else None
            ),
            options=options,
            info=info,
        )

    @serial()
    def start(self, observer: Observer | None) -> Core:
        """Allocate the cache and start the engine's thread."""
        options, can = self.options, self.task.config.capabilities
        runner = Runner(self.model, self.layout.allocate(), device=self.device)
        scheduler = Scheduler(
            slots=options.slots,
            prefill_tokens=options.prefill_tokens,
            chunked=can.prompt_in_pieces,
            prefixes=PrefixStore(range(options.slots, self.layout.size.slots)) if can.prefix_reuse else None,
            packed=runner.packed,
        )
        give_back()  # what the recording of programs had is as much again
        preparation = Preparation(observer)
        engine = EngineThread(
            Engine(runner, scheduler, observer),
            max_waiting=options.max_waiting,
            max_waiting_tokens=options.max_waiting_tokens,
            expected=preparation,
        )
        return Core(self.info, self.task, engine, preparation)


def _limit(name: str, asked: int | None, own: int) -> int:
    if asked is not None and asked > own:
        raise ValueError(f"{name} is {asked}, the model's own limit is {own}")
    return asked or own
