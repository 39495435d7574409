"""CTranslate2 as it runs a job best: sorted by length, in batches by examples or by tokens.

Imports no torch of its own, so that its memory is its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np

from loadtests.bench.jobs import Contender, Entry, Ids, Job, Room

MODEL, HEAD = "ctranslate2", "head.npz"


@cache
def formats() -> tuple[str, ...]:
    """Every compute type that computes in a way of its own here; others are names for one of these."""
    supported = ctranslate2.get_supported_compute_types("cpu")
    # "int8" takes the float type of the machine's choice, which "int8_float32" and the like name.
    return tuple(sorted(supported - {"int8"} if any(f.startswith("int8_") for f in supported) else supported))


def open_model(entry: Entry, directory: Path, room: Room, threads: int) -> Contender:
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    peers = {"seq2seq": _Translator, "gpt": _Generator, "bert": _Encoder}
    return peers[config["architecture"]](directory, config, entry, threads)


def vocabulary(config: Mapping[str, Any]) -> list[str]:
    """Tokens by id: `0`, `1`, ..., and CTranslate2's own names for the special ones that the model has."""
    names = [str(token) for token in range(config["vocab_size"])]
    for field, name in (("pad_id", "<blank>"), ("start_id", "<s>"), ("end_id", "</s>")):
        if field in config:
            names[config[field]] = name
    return names


class _Peer:
    kind: Any

    def __init__(self, directory: Path, config: dict[str, Any], entry: Entry, threads: int) -> None:
        self.model = self.kind(
            str(directory / MODEL), compute_type=entry.format, inter_threads=1, intra_threads=threads
        )
        self.names = vocabulary(config)
        self.ids = {token: number for number, token in enumerate(self.names)}
        self.by_tokens, self.listed = entry.by_tokens, entry.listed

    def _batching(self, job: Job) -> dict[str, Any]:
        if not self.by_tokens:
            return {"max_batch_size": job.in_flight, "batch_type": "examples"}
        mean = sum(map(len, job.prompts)) / len(job.prompts)
        return {"max_batch_size": int(mean * job.in_flight), "batch_type": "tokens"}

    def _tokens(self, prompts: Any) -> list[list[str]]:
        return [[self.names[token] for token in prompt] for prompt in prompts]


class _Translator(_Peer):
    kind = ctranslate2.Translator

    def run(self, job: Job) -> list[Ids]:
        results = self.model.translate_batch(
            self._tokens(job.prompts),
            beam_size=job.beams,
            max_decoding_length=job.max_new_tokens,
            min_decoding_length=job.max_new_tokens if job.exact else 1,
            max_input_length=0,
            use_vmap=self.listed,
            **self._batching(job),
        )
        return [[self.ids[token] for token in result.hypotheses[0]] for result in results]


class _Generator(_Peer):
    kind = ctranslate2.Generator

    def run(self, job: Job) -> list[Ids]:
        results = self.model.generate_batch(
            self._tokens(job.prompts),
            beam_size=job.beams,
            max_length=job.max_new_tokens,
            min_length=job.max_new_tokens if job.exact else 0,
            include_prompt_in_result=False,  # the prompt in one pass
            **self._batching(job),
        )
        return [list(result.sequences_ids[0]) for result in results]


class _Encoder(_Peer):
    """Pooled vectors from CTranslate2, the head on them in numpy."""

    kind = ctranslate2.Encoder

    def __init__(self, directory: Path, *arguments: Any) -> None:
        super().__init__(directory, *arguments)
        head = np.load(directory / HEAD)
        self.weight, self.bias = head["weight"], head["bias"]

    def run(self, job: Job) -> list[Ids]:
        outputs: list[Ids] = [[] for _ in job.prompts]
        for rows in job.by_length():
            pooled = np.array(self.model.forward_batch([job.prompts[n] for n in rows]).pooler_output)
            labels = (pooled.astype(np.float32) @ self.weight.T + self.bias).argmax(axis=1)
            for row, label in zip(rows, labels.tolist(), strict=True):
                outputs[row] = [label]
        return outputs
