"""Tables and figures in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def cell(value: object) -> str:
    """What stands in a cell, or anywhere else within a line."""
    return str(value).replace("|", "\\|").replace("\n", " ")


def figure(value: object, interval: Sequence[float] | None = None) -> str:
    """51.67 [50.02, 53.53]; empty where there is none."""
    if value is None or isinstance(value, bool | str):
        return cell("" if value is None else value)
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f"{shown} [{', '.join(f'{bound:.4g}' for bound in interval)}]" if interval else shown
