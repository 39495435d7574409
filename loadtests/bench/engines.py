"""Models on disk in the form each contender reads, and the contenders opened from there.

Everyone starts from the same float32 weights and converts them to its own number format, so that time and memory of
ours and of the peers mean the same.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loadtests.bench.jobs import Contender, Entry, Ids, Job, Room
from models.architectures import build, config_from_dict
from models.config import AutoregressiveConfig, Config
from models.interface import StateSize
from models.precision import Precision, convert
from models.quantization import int8_supported
from models.shortlist import Shortlist, Tokens, Translations
from service.engine.engine import Engine
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Beams, Sequence, SequenceSpec

CPU = torch.device("cpu")
WEIGHTS, TABLE = "triptych.pt", "shortlist.safetensors"
TARGET = "target"  # the table's one language
PREFILL_TOKENS = 512  # as the service does by default


def write(model: Any, directory: Path, table: Translations | None = None) -> None:
    """All that contenders read; of a table each gets the same in the form that it reads."""
    from loadtests.peers import ctranslate2_export, ctranslate2_peer, openvino_export, transformers_peer
    from loadtests.peers.transformers_export import transformers_model

    directory.mkdir(parents=True, exist_ok=True)
    architecture = model.config.architecture
    (directory / "config.json").write_text(json.dumps(model.config.to_dict()), encoding="utf-8")
    torch.save(model.state_dict(), directory / WEIGHTS)
    torch.save(transformers_model(model), directory / transformers_peer.MODEL)
    getattr(ctranslate2_export, architecture)(model, directory / ctranslate2_peer.MODEL)
    getattr(openvino_export, architecture)(model, directory)
    if table is not None:
        Shortlist({TARGET: table}).save(directory / TABLE)
        ctranslate2_export.vocabulary_map(table, model.config, directory / ctranslate2_peer.MODEL)
    if architecture == "bert":
        head = model.classifier
        np.savez(
            directory / ctranslate2_peer.HEAD, weight=head.weight.detach().numpy(), bias=head.bias.detach().numpy()
        )


def entries(*, natural_ends: bool, table: bool = False) -> list[Entry]:
    """Every contender in every format that it offers on this machine; with a table, also restricted to it, where that
    saves time: ours in int8, CTranslate2 in every format."""
    from loadtests.peers import ctranslate2_peer, openvino_peer, transformers_peer

    found = [Entry("triptych", precision) for precision in precisions()]
    found += [replace(entry, listed=True) for entry in found if table and entry.format == "int8"]
    for listed in (False, True)[: 1 + table]:
        for compute_type in ctranslate2_peer.formats():
            for by_tokens in (False, True)[: 1 + natural_ends]:
                found.append(Entry("ctranslate2", compute_type, by_tokens, listed))
    found += [Entry("openvino", format) for format in openvino_peer.formats()]
    return found + [Entry("transformers", dtype) for dtype in transformers_peer.FORMATS]


def precisions() -> list[Precision]:
    """In which this machine's CPU can compute."""
    everywhere: list[Precision] = ["float32", "bfloat16"]
    return [*everywhere, "int8"] if int8_supported(CPU) else everywhere


def open_model(entry: Entry, directory: Path, room: Room, threads: int) -> Contender:
    torch.set_num_threads(threads)
    model = load(directory)
    table = Shortlist.load(directory / TABLE, model.config.vocab_size) if entry.listed else None
    return Triptych(model, entry.format, room, table)  # type: ignore[arg-type]


def load(directory: Path) -> Any:
    """Our model in float32."""
    model = build(config_from_dict(json.loads((directory / "config.json").read_text(encoding="utf-8"))))
    model.load_state_dict(torch.load(directory / WEIGHTS))
    return model.eval()


class Triptych:
    """Our engine, stepped in the caller's thread; a new one when another number of slots is asked for."""

    def __init__(self, model: Any, precision: Precision, room: Room, table: Shortlist | None = None) -> None:
        """`model` is converted in place."""
        self.config: Config = model.config
        self.model, self.dtype = convert(model, precision, CPU)
        self.room, self.table = room, table
        self._engine: Engine | None = None

    def engine(self, slots: int) -> Engine:
        if self._engine is None or slots != self._engine.scheduler.rows.capacity:
            self._engine = None  # its cache goes before the next one comes
            self._engine = self._new_engine(slots)
        return self._engine

    def _new_engine(self, slots: int) -> Engine:
        shared = self.config.capabilities.shared_positions
        size = StateSize(
            slots=slots,
            length=self.room.new_tokens + (self.room.prompt_tokens if shared else 0),
            source_length=self.room.prompt_tokens,
            dtype=self.dtype,
        )
        runner = Runner(self.model, self.model.new_state(size), device=CPU)
        return Engine(runner, Scheduler(slots=slots, prefill_tokens=PREFILL_TOKENS, packed=runner.packed))

    def sequence(self, number: int, prompt: Ids, job: Job) -> Sequence:
        end_id = self.config.end_id if isinstance(self.config, AutoregressiveConfig) and not job.exact else None
        return Sequence(
            SequenceSpec(
                id=str(number),
                prompt=list(prompt),
                max_new_tokens=job.max_new_tokens,
                end_id=end_id,
                beams=Beams(width=job.beams) if job.beams > 1 else None,
                shortlist=self._shortlist(prompt),
            )
        )

    def _shortlist(self, prompt: Ids) -> Tokens | None:
        if self.table is None:
            return None
        assert isinstance(self.config, AutoregressiveConfig), "a table is a translator's"
        return self.table.of(TARGET, prompt, [] if self.config.end_id is None else [self.config.end_id])

    def run(self, job: Job) -> list[Ids]:
        engine = self.engine(job.in_flight * job.beams)
        sequences = [self.sequence(number, prompt, job) for number, prompt in enumerate(job.prompts)]
        for sequence in sequences:
            engine.add(sequence)
        while not engine.idle:
            engine.step()
        return [s.output[:-1] if s.outcome == "eos_token" else s.output for s in sequences]
