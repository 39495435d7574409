"""What a newcomer reads on the terminal once the service answers. Knows nothing of how it came up."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape


def announce(url: str, info: dict[str, Any], seconds: float, console: Console, *, needs_key: bool = False) -> None:
    """The models as `/info` describes them, and a request to try for each task."""
    for model in info["models"]:
        size = f"{model['parameters'] / 1e6:.1f} M parameters"
        console.print(
            f"  {model['name']:12} {model['version']:14} {size}, {model['precision']} on {model['device']}, "
            f"{model['slots']} slots, key/value cache {model['kv_cache_bytes'] / 2**20:.1f} MiB",
            soft_wrap=True,
        )
    console.print(f"\n[bold green]Ready[/bold green] after {seconds:.0f} s: [bold]{url}[/bold]  (try {url}/docs)\n")
    for command in commands(url, info["models"], needs_key=needs_key):
        console.print(command, markup=False, soft_wrap=True)
    console.print("\nCtrl-C stops it.")


def commands(url: str, models: list[dict[str, Any]], *, needs_key: bool = False) -> Iterator[str]:
    """A curl command for the first model of each task, with the first example of its checkpoint."""
    for task in dict.fromkeys(model["task"] for model in models):
        first = next(model for model in models if model["task"] == task)
        body = next(iter(first["examples"].values()), None) or _any_body(first)
        stream = "-N " if body.get("stream") else ""
        text = shlex.quote(json.dumps(body, ensure_ascii=False))
        key = '-H "authorization: Bearer $TRIPTYCH_KEY" ' if needs_key else ""
        yield f"curl {stream}{url}/{task} {key}-H 'content-type: application/json' -d {text}"


def _any_body(model: dict[str, Any]) -> dict[str, Any]:
    """For a checkpoint that has no examples of its own."""
    if not model["language_pairs"]:
        return {"inputs": "Hello."}
    source, target = model["language_pairs"][0]
    return {"inputs": "Hello.", "parameters": {"src_lang": source, "tgt_lang": target}}


def warned(console: Console, warning: str) -> None:
    console.print(f"[yellow]Careful:[/yellow] {escape(warning)}", soft_wrap=True)


def failed(console: Console, reason: str) -> None:
    console.print(f"[red]triptych:[/red] {escape(reason)}", soft_wrap=True)
