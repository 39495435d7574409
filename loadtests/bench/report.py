"""Figures as tables for the terminal, JSON and Markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from loadtests.bench.measure import Ratio, Row
from loadtests.bench.workloads import Workload

SAME = 0.9  # share of equal outputs in the same precision; beam search may rank near ties differently
LIBRARIES = ("torch", "ctranslate2", "openvino", "transformers")


def machine(threads: int) -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def show(workload: Workload, rows: Sequence[Row], ratios: Sequence[Ratio], console: Console) -> None:
    console.print(f"\n[bold]{workload.name}[/bold]  {workload.title}")
    for job in workload.jobs:
        here = _at(rows, job.search, job.in_flight)
        table = Table(
            title=f"{job.search}, batch {job.in_flight}", title_justify="left", box=box.SIMPLE, padding=(0, 1)
        )
        table.add_column("contender", no_wrap=True)
        quality = _columns(here)
        for name in (f"{workload.unit}/s", "rounds", *quality):
            table.add_column(name, justify="right")
        for row in here:
            cells = [f"{row.per_second:,.0f}", str(len(row.seconds)), *(_QUALITY[name](row) for name in quality)]
            table.add_row(f"{row.engine} {row.format}", *cells)
        console.print(table)
        for row in here:
            if row.format.startswith("float32") and not row.listed and row.agreement < SAME:
                console.print(f"  [red]{row.engine} {row.format} does not say what ours says: not the same work?[/red]")
        for ratio in _at(ratios, job.search, job.in_flight):
            console.print("  " + sentence(ratio))


def sentence(ratio: Ratio) -> str:
    goal = (
        "" if ratio.goal is None else f" (goal {ratio.goal:g}: {'reached' if ratio.ratio >= ratio.goal else 'missed'})"
    )
    return f"{ratio.ours_format} to {ratio.peer}'s best, {ratio.peer_format}: {ratio.ratio:.2f}{goal}"


def document(
    measured: Sequence[tuple[Workload, Sequence[Row], Sequence[Ratio]]], settings: dict[str, Any]
) -> dict[str, Any]:
    """What `--json` writes, beside the machine."""
    return {
        "settings": settings,
        "workloads": [
            {
                "name": workload.name,
                "title": workload.title,
                "rows": [asdict(row) for row in rows],
                "ratios": [asdict(ratio) for ratio in ratios],
            }
            for workload, rows, ratios in measured
        ],
    }


def markdown(measured: Sequence[tuple[Workload, Sequence[Row], Sequence[Ratio]]]) -> str:
    """One table a workload and search: contenders down, batch sizes across; then the ratios to each peer's best."""
    parts = []
    for workload, rows, ratios in measured:
        parts.append(f"**{workload.name}**: {workload.title}, {workload.unit} per second")
        for search in dict.fromkeys(job.search for job in workload.jobs):
            here = [row for row in rows if row.search == search]
            batches, quality = list(dict.fromkeys(row.batch for row in here)), _columns(here)
            lines = [_line(search, *(f"batch {b}" for b in batches), *quality)]
            lines.append("|---" * (1 + len(batches) + len(quality)) + "|")
            for name in dict.fromkeys((row.engine, row.format) for row in here):
                own = {row.batch: row for row in here if (row.engine, row.format) == name}
                speeds = [f"{own[b].per_second:,.0f}" for b in batches]
                lines.append(_line(" ".join(name), *speeds, *(_QUALITY[q](own[batches[-1]]) for q in quality)))
            for peer, listed in dict.fromkeys((ratio.peer, ratio.listed) for ratio in ratios):
                values = {r.batch: r.ratio for r in ratios if (r.search, r.peer, r.listed) == (search, peer, listed)}
                cells = [f"**{values[b]:.2f}**" for b in batches]
                best = f"ours to {peer}'s best" + (", shortlist" if listed else "")
                lines.append(_line(best, *cells, *[""] * len(quality)))
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(name: str, form: str) -> Callable[[Row], str]:
    return lambda row: "" if getattr(row, name) is None else format(getattr(row, name), form)


# What stands beside a speed; of a Markdown table's line, at its largest batch.
_QUALITY: dict[str, Callable[[Row], str]] = {
    "agreement": _cell("agreement", ".3f"),
    "BLEU": _cell("bleu", ".2f"),
    "accuracy": _cell("accuracy", ".4f"),
    "peak MiB": _cell("peak_mib", ",.0f"),
    "running": _cell("running_mib", ",.0f"),
    "libraries": _cell("libraries_mib", ",.0f"),
}


def _columns(rows: Sequence[Row]) -> list[str]:
    """Those that anybody has a figure for."""
    return [name for name, cell in _QUALITY.items() if any(cell(row) for row in rows)]


def _at(rows: Sequence[Any], search: str, batch: int) -> list[Any]:
    return [row for row in rows if (row.search, row.batch) == (search, batch)]


def write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
