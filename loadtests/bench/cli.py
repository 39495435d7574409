"""The benchmarks of `triptych bench`: what each one takes and runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
from rich.console import Console

from loadtests.bench import (
    arrivals,
    attention,
    compression,
    decode_step,
    flood,
    gateway,
    growth,
    measure,
    memory,
    overhead,
    prompts,
    report,
    segmentation,
    workloads,
)
from models.precision import Precision


def parser() -> argparse.ArgumentParser:
    """A command declares what the function that it runs takes, besides the console."""
    top = argparse.ArgumentParser(prog="triptych bench", description="Measures the engine; see docs/benchmarks.md.")
    commands = top.add_subparsers(dest="command", required=True)
    engine = _command(commands, "engine", "ours and the peers, alternately, on the same weights", run_engine)
    engine.add_argument("--workload", nargs="+", choices="abcd", default=list("abcd"), help=_WORKLOADS)
    engine.add_argument("--batches", type=_positive, nargs="+", default=[1, 8, 32], help="prompts in flight")
    engine.add_argument("--rounds", type=_positive, default=3)
    engine.add_argument("--tokens", type=_positive, default=64, help="of each output, where weights are random")
    engine.add_argument("--tsv", type=Path, default=workloads.SENTENCES, help="source<TAB>target, for workload a")
    engine.add_argument("--pair", nargs=2, default=["fr", "en"], metavar=("SOURCE", "TARGET"), help="its languages")
    engine.add_argument("--texts", type=Path, default=workloads.TEXTS, help="last column is read, for workload d")
    engine.add_argument("--limit", type=_positive, default=256, help="lines of a file")
    engine.add_argument(
        "--model", type=Path, help="directory of a model, also a published one, for one of the workloads"
    )
    engine.add_argument(
        "--candidates",
        type=_positive,
        help="tokens of each random prompt's shortlist, for workload b; else none has one",
    )
    engine.add_argument("--no-beams", action="store_true", help="greedy only")
    engine.add_argument("--quick", action="store_true", help="batches 1 and 8, 16 tokens, 1 round")
    engine.add_argument("--markdown", type=Path, help="write the tables there")
    command = _command(commands, "arrivals", "continuous against static batching, requests at random", arrivals.run)
    command.add_argument("--seconds", type=float, default=10, help="of arrivals at each rate")
    command.add_argument("--bound", type=float, help="of the 95th percentile of latency, in seconds")
    _precision(command)
    command = _command(commands, "growth", "time of a step against batch and length", growth.run)
    command.add_argument("--batches", type=_positive, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    command.add_argument("--lengths", type=_positive, nargs="+", default=[16, 32, 64, 128, 256, 512])
    _precision(command)
    command.add_argument("--rounds", type=_positive, default=3)
    command.add_argument("--plot", type=Path, help="write a PNG there")
    command = _command(commands, "overhead", "what of a step is not the model", overhead.run)
    command.add_argument("--workload", choices=("a", "b", "c"), default="a")
    command.add_argument("--batches", type=_positive, nargs="+", default=[1, 8, 32])
    command.add_argument("--tokens", type=_positive, default=64, help="of each output, where weights are random")
    command.add_argument("--rounds", type=_positive, default=5)
    _precision(command)
    command = _command(
        commands, "prompts", "long prompts beside running streams, and prefixes read before", prompts.run
    )
    command.add_argument("--rounds", type=_positive, default=3)
    _precision(command)
    command = _command(commands, "decode-step", "a cached step against recomputing the prefix", decode_step.run)
    command.add_argument("--length", type=_positive, default=256)
    command.add_argument("--repeats", type=_positive, default=5)
    command = _command(commands, "compression", "a generator's bits per byte against PPMd's", compression.run)
    command.add_argument("checkpoint", help="NAME, NAME@VERSION or a checkpoint directory")
    command.add_argument(
        "--registry", default=str(workloads.SHIPPED), help="directory or URL that holds the checkpoints"
    )
    command.add_argument("--data", type=Path, help="folder of the files that the checkpoint's recipe names")
    command.add_argument("--training", type=Path, help="instead: what to prime PPMd with, a text a line")
    command.add_argument("--held-out", type=Path, help="and what to measure on, a text a line")
    command.add_argument("--order", type=_positive, default=compression.ORDER, help="of PPMd")
    command.add_argument("--memory", type=_positive, default=compression.MEMORY, help="of PPMd, in MiB")
    command.add_argument("--xz", action="store_true", help="LZMA, too: minutes for a large training text")
    command = _command(commands, "attention", "recurrent translators and the Transformer, side by side", attention.run)
    command.add_argument(
        "checkpoints", type=Path, nargs="+", help="directories of translators, such as runs/NAME/checkpoint"
    )
    command.add_argument("--data", type=Path, required=True, help="sentences in two languages")
    command.add_argument(
        "--columns", type=lambda text: text.split(","), default="fr,en", help="the languages of its columns"
    )
    command.add_argument(
        "--sentence", default=attention.SENTENCE, help="of the first language, to show where words look"
    )
    command.add_argument("--limit", type=_positive, help="rows of the file")
    command.add_argument("--rounds", type=_positive, default=3)
    _precision(command)
    command.add_argument("--plots", type=Path, help="folder to draw the pictures to")
    command = _command(commands, "segmentation", "ends of sentences, ours and other libraries'", segmentation.run)
    command.add_argument("--data", type=Path, required=True, help="folder of the test files")
    command.add_argument("--sentences", type=_positive, default=400, help="of each file")
    command = _command(commands, "gateway", "what the gateway adds to HTTP, against a bare echo", gateway.run)
    command.add_argument("--connections", type=_positive, nargs="+", default=[1, 16, 64, 256])
    command.add_argument("--seconds", type=float, default=3, help="of load, for each server and round")
    command.add_argument("--rounds", type=_positive, default=3)
    command = _command(commands, "flood", "how soon the gateway refuses what it has no room for", flood.run)
    command.add_argument("--requests", type=_positive, nargs="+", default=[128, 256, 600], help="at once")
    command.add_argument("--rounds", type=_positive, default=3)
    command = _command(commands, "memory", "what each process of a running service takes", memory.run)
    command.add_argument("pid", type=_positive, help="of triptych serve")
    return top


_WORKLOADS = "a: shipped translator; b: OPUS-MT-sized; c: GPT-2 small; d: shipped and BERT-base-sized classifiers"


def _command(commands: Any, name: str, text: str, run: Callable[..., dict[str, Any]]) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument("--threads", type=_positive, default=torch.get_num_threads(), help="the same for everyone")
    command.add_argument("--json", type=Path, help="write the figures there")
    command.set_defaults(run=run)
    return command


def _precision(command: argparse.ArgumentParser) -> None:
    command.add_argument("--precision", choices=get_args(Precision), default="auto")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def run_engine(
    *,
    workload: Sequence[str],
    batches: Sequence[int],
    rounds: int,
    tokens: int,
    tsv: Path,
    pair: Sequence[str],
    texts: Path,
    limit: int,
    model: Path | None,
    candidates: int | None,
    no_beams: bool,
    quick: bool,
    markdown: Path | None,
    console: Console,
) -> dict[str, Any]:
    if quick:
        batches, tokens, rounds = [1, 8], 16, 1
    options = workloads.Options(
        batches=batches,
        tokens=tokens,
        beams=not no_beams,
        sentences=tsv,
        pair=pair,
        texts=texts,
        limit=limit,
        model=model,
        candidates=candidates,
    )
    measured = []
    for name in workload:
        for each in workloads.workloads([name], options):  # one after the other: each goes before the next comes
            with console.status("") as status:
                rows = measure.measure(each, rounds=rounds, threads=torch.get_num_threads(), say=status.update)
            found = measure.ratios(each, rows)
            report.show(each, rows, found, console)
            measured.append((each, rows, found))
    if markdown:
        markdown.write_text(report.markdown(measured), encoding="utf-8")
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    return report.document(measured, {**settings, "rounds": rounds})


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Raises OSError and ValueError for files and settings that cannot be used."""
    given = vars(parser().parse_args(arguments))
    run, threads, json = given.pop("run"), given.pop("threads"), given.pop("json")
    del given["command"]
    torch.set_num_threads(threads)
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 120)  # a file is as wide as its tables
    figures = run(**given, console=console)
    if json:
        report.write_json(json, {"machine": report.machine(threads), **figures})
