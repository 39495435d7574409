"""The engine against CTranslate2 on the same weights: greedy translation at several batch sizes.

    python -m loadtests.engine_speed [--batches 1 8 32] [--tokens 64] [--rounds 5]

An OPUS-MT-sized translator (6 + 6 layers, width 512, a vocabulary of 32,001) with random weights; sources of 32 tokens,
outputs of exactly `--tokens`. One process tree, equal threads, ours and the peer alternately, medians over the rounds.
Every compute type that the peer offers here is run, and ours is compared with the best of them. The last column says
how far the outputs agree with ours in float32. `--json FILE` writes the figures.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import torch
from rich.console import Console
from rich.table import Table

from loadtests.peers.ctranslate2_export import export
from models.architectures import build
from models.cache import KeyValueCache
from models.config import Seq2SeqConfig
from models.precision import Precision, convert
from service.engine.engine import Engine
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Sequence

CONFIG = Seq2SeqConfig(
    vocab_size=32001, width=512, heads=8, feedforward=2048, encoder_layers=6, decoder_layers=6, max_source=64
)
SOURCE = 32
OURS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")

Translate = Callable[[list[list[int]], int], list[list[int]]]  # sources, output tokens -> outputs


def our_engine(model: Any, precision: Precision, slots: int, tokens: int) -> Translate:
    device = torch.device("cpu")
    model, dtype = convert(copy.deepcopy(model), precision, device)
    cache = KeyValueCache.allocate(CONFIG.cache_shape, slots=slots, length=tokens, source_length=SOURCE, dtype=dtype)
    runner = Runner(model, cache, device=device, pad_id=CONFIG.pad_id)
    engine = Engine(runner, Scheduler(slots=slots, prefill_tokens=slots * SOURCE), CONFIG.cache_shape)

    def translate(sources: list[list[int]], tokens: int) -> list[list[int]]:
        sequences = [Sequence(id=str(n), prompt=s, max_new_tokens=tokens) for n, s in enumerate(sources)]
        for sequence in sequences:
            engine.add(sequence)
        while not engine.idle:
            engine.step()
        return [sequence.output for sequence in sequences]

    return translate


def their_engine(directory: Path, vocabulary: list[str], compute_type: str, threads: int) -> Translate:
    translator = ctranslate2.Translator(
        str(directory), compute_type=compute_type, inter_threads=1, intra_threads=threads
    )
    ids = {token: number for number, token in enumerate(vocabulary)}

    def translate(sources: list[list[int]], tokens: int) -> list[list[int]]:
        results = translator.translate_batch(
            [[vocabulary[token] for token in source] for source in sources],
            beam_size=1,
            min_decoding_length=tokens,
            max_decoding_length=tokens,
        )
        return [[ids[token] for token in result.hypotheses[0]] for result in results]

    return translate


def measure(batches: list[int], tokens: int, rounds: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    model = build(CONFIG).eval()
    sources = torch.randint(3, CONFIG.vocab_size, (max(batches), SOURCE)).tolist()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        vocabulary = export(model, Path(directory))
        engines = {f"triptych {p}": our_engine(model, p, max(batches), tokens) for p in OURS}
        for compute_type in sorted(ctranslate2.get_supported_compute_types("cpu")):
            engines[f"ctranslate2 {compute_type}"] = their_engine(Path(directory), vocabulary, compute_type, threads)
        for batch in batches:
            outputs = {name: translate(sources[:batch], tokens) for name, translate in engines.items()}  # warms up
            assert all(len(output) == tokens for texts in outputs.values() for output in texts)
            seconds: dict[str, list[float]] = {name: [] for name in engines}
            for _ in range(rounds):
                for name, translate in engines.items():
                    started = time.perf_counter()
                    translate(sources[:batch], tokens)
                    seconds[name].append(time.perf_counter() - started)
            for name in engines:
                rate = batch * tokens / statistics.median(seconds[name])
                same = _agreement(outputs[name], outputs["triptych float32"])
                rows.append({"engine": name, "batch": batch, "tokens_per_second": rate, "agreement": same})
    return rows


def _agreement(outputs: list[list[int]], reference: list[list[int]]) -> float:
    """Share of tokens, position by position."""
    pairs = [pair for ours, theirs in zip(outputs, reference, strict=True) for pair in zip(ours, theirs, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


def report(rows: list[dict[str, Any]], console: Console) -> None:
    for batch in sorted({row["batch"] for row in rows}):
        some = [row for row in rows if row["batch"] == batch]
        best = max(row["tokens_per_second"] for row in some if row["engine"].startswith("ctranslate2"))
        table = Table("engine", "tokens/s", "to the best peer", "same tokens as float32", title=f"batch {batch}")
        for row in some:
            rate = row["tokens_per_second"]
            table.add_row(row["engine"], f"{rate:.0f}", f"{rate / best:.2f}", f"{row['agreement']:.3f}")
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.batches, arguments.tokens, arguments.rounds)
    report(rows, Console())
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
