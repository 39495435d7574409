from __future__ import annotations

import pytest
from rich.console import Console

from loadtests.bench import overhead
from loadtests.bench.engines import Triptych
from loadtests.bench.workloads import Workload


def test_the_parts_of_a_step_add_up_to_it(tiny_workload: Workload) -> None:
    triptych = Triptych(tiny_workload.model, "float32", tiny_workload.room)
    engine = triptych.engine(4)
    seconds = overhead.shares(engine, lambda: triptych.run(tiny_workload.jobs[1]))
    whole = seconds.pop("step")
    assert sum(seconds.values()) == pytest.approx(whole)
    assert all(own >= 0 for own in seconds.values())
    assert seconds["model"] > 0


def test_nothing_stays_wrapped(tiny_workload: Workload) -> None:
    triptych = Triptych(tiny_workload.model, "float32", tiny_workload.room)
    engine = triptych.engine(4)
    before = [set(vars(owner)) for owner in (engine, engine.scheduler, engine.runner, engine.runner.model)]
    overhead.shares(engine, lambda: triptych.run(tiny_workload.jobs[1]))
    overhead.functions(engine, lambda: triptych.run(tiny_workload.jobs[1]))
    assert [set(vars(owner)) for owner in (engine, engine.scheduler, engine.runner, engine.runner.model)] == before


def test_the_report_names_the_share_and_the_functions_outside_the_model(
    tiny_workload: Workload, console: Console
) -> None:
    figures = overhead.run(batch=1, tokens=6, rounds=2, precision="float32", console=console, workload=tiny_workload)
    assert figures["outside"] == pytest.approx(1 - figures["parts"]["model"])
    assert sum(figures["parts"].values()) == pytest.approx(1, abs=0.1)
    named = [row["function"] for row in figures["functions"]]
    assert any(name.startswith("engine/") for name in named)
    assert not any(name.startswith("models/layers.py") for name in named)
    assert "outside the model:" in console.export_text()
