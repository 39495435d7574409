from __future__ import annotations

from rich.console import Console

from loadtests.bench import prompts
from models.config import GPTConfig

TINY = GPTConfig(vocab_size=61, width=32, heads=4, feedforward=48, layers=1, context=96)


def test_gaps_come_for_every_budget_and_the_second_prompt_finds_its_prefix(console: Console) -> None:
    figures = prompts.run(precision="float32", rounds=1, console=console, config=TINY, budgets=(4096, 16))
    assert [gap["budget"] for gap in figures["gaps"]] == [4096, 16]
    assert all(gap["worst_ms"] > 0 and gap["first_token_ms"] > 0 for gap in figures["gaps"])
    new, known = figures["first_tokens"]
    assert new["read_before"] == 0
    assert 0 < known["read_before"] <= known["prompt_tokens"] - prompts.NEW
    assert "worst gap" in console.export_text()
