from __future__ import annotations

import pytest
from rich.console import Console

from loadtests.bench import overhead
from loadtests.bench.engines import Triptych
from loadtests.bench.workloads import Workload
from models.native.library import instruction_set


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


def test_the_report_names_each_part_in_microseconds_and_the_functions_outside_the_model(
    tiny_workload: Workload, console: Console
) -> None:
    found = overhead.measure(tiny_workload, "float32", 2, console)
    assert [(each["search"], each["batch"]) for each in found] == [
        (job.search, job.in_flight) for job in tiny_workload.jobs
    ]
    for each in found:
        whole, parts = each["parts"]["step"], [value for name, value in each["parts"].items() if name != "step"]
        assert sum(parts) == pytest.approx(whole, rel=0.5)  # medians of each for itself
        named = [row["function"] for row in each["functions"]]
        assert any(name.startswith("engine/") for name in named)
        assert not any(name.startswith("models/layers.py") for name in named)
    assert "all but the model" in console.export_text()


@pytest.mark.skipif(instruction_set() is None, reason="no kernels for this CPU, or they were not built")
def test_a_program_is_the_models_work(tiny_workload: Workload) -> None:
    triptych = Triptych(tiny_workload.model, "int8", tiny_workload.room)
    engine = triptych.engine(4)
    assert engine.runner.packed, "its steps are programs"
    seconds = overhead.shares(engine, lambda: triptych.run(tiny_workload.jobs[1]))
    assert 0 < seconds["model"] < seconds["step"]
