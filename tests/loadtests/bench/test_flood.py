from __future__ import annotations

from rich.console import Console

from loadtests.bench import flood


def test_whoever_finds_no_room_is_refused_and_the_others_are_answered() -> None:
    console = Console(record=True, width=120)
    [row] = flood.run(requests=[48], rounds=1, console=console)["rows"]
    assert (row["requests"], row["answered"], row["refused"], row["errors"]) == (48, 32, 16, 0)
    assert 0 < row["p50_ms"] <= row["p99_ms"]
    assert "refused within 50 ms" in console.export_text()
