from __future__ import annotations

import pytest
from rich.console import Console

from loadtests.bench import decode_step


def test_cached_and_recomputed_steps_agree_and_are_both_timed(
    monkeypatch: pytest.MonkeyPatch, console: Console
) -> None:
    monkeypatch.setattr(decode_step, "SHAPE", {"width": 32, "heads": 4, "feedforward": 48, "vocab_size": 61})
    rows = decode_step.run(length=16, repeats=1, console=console)["rows"]
    assert [(row["model"], row["length"]) for row in rows] == [("translator", 16), ("generator", 16)]
    assert all(row["ratio"] == pytest.approx(row["recomputed_ms"] / row["cached_ms"]) for row in rows)


def test_a_cached_step_that_gives_other_logits_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, console: Console
) -> None:
    monkeypatch.setattr(decode_step, "SHAPE", {"width": 32, "heads": 4, "feedforward": 48, "vocab_size": 61})
    cached = decode_step.Candidate.cached
    monkeypatch.setattr(decode_step.Candidate, "cached", lambda self, position: cached(self, position) + 1)
    with pytest.raises(AssertionError, match="not close"):
        decode_step.run(length=16, repeats=1, console=console)
