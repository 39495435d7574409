from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from loadtests.bench import growth
from loadtests.bench.growth import Step
from loadtests.bench.workloads import OPUS
from models.config import Seq2SeqConfig

TINY = Seq2SeqConfig(vocab_size=61, width=32, heads=4, feedforward=48, encoder_layers=1, decoder_layers=1)


def test_work_grows_with_the_batch_and_reading_only_where_keys_and_values_count() -> None:
    one, eight = (growth.multiplications(OPUS, batch, 64) for batch in (1, 8))
    assert eight == pytest.approx(8 * one)
    one, eight = (growth.bytes_read(OPUS, batch, 16, "int8") for batch in (1, 8))
    assert 1 < eight / one < 1.25
    assert growth.bytes_read(OPUS, 8, 512, "int8") > 2 * growth.bytes_read(OPUS, 8, 16, "int8")


def test_growth_is_within_the_work_up_to_noise() -> None:
    steps = [Step(batch=1, length=16, ms=1), Step(batch=8, length=16, ms=8.4)]
    (longer_1, longer_8, wider) = growth.growths(steps, OPUS, "int8")
    assert (longer_1.time, longer_8.time) == (1, 1)
    assert (wider.time, wider.within) == (8.4, True)
    slow = replace(wider, time=9.0)
    assert not slow.within


def test_the_grid_is_measured_printed_and_drawn(tmp_path: Path, console: Console) -> None:
    figures = growth.run(
        batches=[1, 2],
        lengths=[4, 16],
        rounds=2,
        precision="float32",
        console=console,
        plot=tmp_path / "p.png",
        config=TINY,
    )
    assert [(step["batch"], step["length"]) for step in figures["steps"]] == [(1, 4), (1, 16), (2, 4), (2, 16)]
    assert all(step["ms"] > 0 for step in figures["steps"])
    assert [g["what"] for g in figures["growth"]] == [
        "batch 1, length", "batch 2, length", "length 4, batch", "length 16, batch"
    ]  # fmt: skip
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "no faster than the work" in console.export_text()


def test_the_time_at_a_length_is_the_median_of_the_steps_around_it_in_all_rounds() -> None:
    quiet, disturbed = [float(n) for n in range(1, 41)], [float(n) for n in range(1, 41)]
    disturbed[19] = 1000.0
    (at_20,) = growth.steps([quiet, disturbed], 1, [20])
    assert at_20.ms == pytest.approx(20, abs=1)
