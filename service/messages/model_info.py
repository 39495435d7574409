from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from service.messages.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What `/info` says of one model and what the gateway needs to know to check a request."""

    name: str  # the name in the settings
    task: Task
    version: str  # name@version of the checkpoint
    architecture: str  # seq2seq, gpt, bert
    parameters: int  # number of weights
    device: str  # cpu, cuda:0, ...
    precision: str  # float32, bfloat16, ...
    slots: int
    max_prompt_tokens: int
    max_new_tokens: int
    language_pairs: tuple[tuple[str, str], ...] = ()  # (source, target) of a translator
    labels: tuple[str, ...] = ()  # of a classifier
    scores: dict[str, Any] = field(default_factory=dict)  # as measured and written in the manifest
    licence: str = ""
    kv_cache_bytes: int = 0  # of a replica's key/value buffers
    max_characters: int | None = (
        None  # of one text: a longer one has too many tokens whatever it says; None: it is split
    )
    max_waiting: int = 0  # requests that may wait for a slot, in each replica
    takes_pairs: bool = False  # a classifier that was trained on pairs of texts
    takes_messages: bool = False  # a generator with a chat template
    examples: dict[str, Any] = field(default_factory=dict)  # bodies that the model answers well, by what they show
