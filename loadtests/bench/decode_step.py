"""Does the time of a decode step grow with what came before? Cached decoding against recomputing the prefix.

    triptych bench decode-step [--length 256] [--repeats 5]

One run, one process, equal threads, random weights of the shapes below, float32. At each length the two ways are
measured alternately and the medians compared: a cached step reads the keys and values of the tokens so far; recomputing
runs the whole prefix (and, for the translator, attends to the same encoded source). That both give the same logits is
checked.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models.architectures import build
from models.config import Config, GPTConfig, Seq2SeqConfig
from models.interface import CausalBatch, Prompts, StateSize

SHAPE: dict[str, Any] = {"width": 512, "heads": 8, "feedforward": 2048, "vocab_size": 8000}
SOURCE = 32


def configs(length: int) -> dict[str, Config]:
    """A translator with a six-layer decoder and a generator of six layers, with room for `length` tokens."""
    return {
        "translator": Seq2SeqConfig(
            encoder_layers=6, decoder_layers=6, max_source=SOURCE, max_target=length + 2, **SHAPE
        ),
        "generator": GPTConfig(layers=6, context=length + 2, **SHAPE),
    }


class Candidate:
    """One model with a sequence of tokens in its cache, and the same sequence to recompute."""

    def __init__(self, config: Config, length: int) -> None:
        torch.manual_seed(0)
        self.model = cast(Any, build(config).eval())
        self.state = self.model.new_state(StateSize(slots=1, length=length + 2, source_length=SOURCE))
        self.tokens = torch.randint(3, SHAPE["vocab_size"], (1, length + 1))
        self.memory: tuple[Tensor, Tensor] | None = None
        slots = torch.tensor([0])
        if isinstance(config, Seq2SeqConfig):
            self.tokens[:, 0] = config.start_id
            source = torch.randint(3, SHAPE["vocab_size"], (1, SOURCE))
            prompt = Prompts(tokens_BS=source, lengths_B=torch.tensor([SOURCE]))
            self.memory = self.model.encode(source, prompt.lengths_B)
        else:
            prompt = Prompts(tokens_BS=self.tokens[:, :1], lengths_B=torch.tensor([1]))
        self.model.prefill(prompt, slots, self.state)
        for position in range(1, length + 1):
            self.cached(position)

    def cached(self, position: int) -> Tensor:
        """Logits after the token at `position`, by one decode step."""
        window = self.state.window(1, position + 1, SOURCE)
        return self.model.decode(self.tokens[:, position], torch.tensor([position]), window)[0]

    def recomputed(self, position: int) -> Tensor:
        """The same logits by running the whole prefix; the projection onto the vocabulary for the last token only."""
        prefix = self.tokens[:, : position + 1]
        if self.memory is None:
            hidden = self.model.hidden(CausalBatch(tokens_BT=prefix))
        else:
            hidden = self.model.embedding.sequence(prefix)
            for layer in self.model.decoder:
                hidden = layer(hidden, (*layer.project_memory(self.memory[0]), self.memory[1]))
            hidden = self.model.decoder_norm(hidden)
        return self.model.logits(hidden[0, -1])


def median_ms(run: Callable[[], object], repeats: int) -> float:
    return statistics.median(timeit.repeat(run, number=1, repeat=repeats)) * 1000


@torch.inference_mode()
def measure(length: int, repeats: int) -> list[dict[str, float | str]]:
    rows: list[dict[str, float | str]] = []
    for name, config in configs(length).items():
        candidate = Candidate(config, length)
        lengths = [n for n in (16, 64, 128, 256, 512, 1024) if n <= length]
        for position in lengths:
            torch.testing.assert_close(candidate.cached(position), candidate.recomputed(position), atol=1e-3, rtol=1e-3)
            samples: dict[str, list[float]] = {"cached": [], "recomputed": []}
            for _ in range(repeats):  # alternately, so that a slow moment of the machine hits both
                samples["cached"].append(median_ms(partial(candidate.cached, position), 10))
                samples["recomputed"].append(median_ms(partial(candidate.recomputed, position), 3))
            cached, recomputed = (statistics.median(samples[way]) for way in ("cached", "recomputed"))
            rows.append(
                {"model": name, "length": position, "cached_ms": cached, "recomputed_ms": recomputed,
                 "ratio": recomputed / cached}
            )  # fmt: skip
    return rows


def run(*, length: int, repeats: int, console: Console) -> dict[str, Any]:
    rows = measure(length, repeats)
    table = Table("model", "length", "cached step, ms", "recomputed, ms", "ratio", title="Time of one decode step")
    for row in rows:
        table.add_row(
            str(row["model"]), str(row["length"]), *(f"{row[k]:.2f}" for k in ("cached_ms", "recomputed_ms", "ratio"))
        )
    console.print(table)
    return {"rows": rows}
