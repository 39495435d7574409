from __future__ import annotations

import json
from dataclasses import replace

from rich.console import Console

from loadtests.bench import report
from loadtests.bench.measure import Ratio, Row
from loadtests.bench.workloads import Workload


def row(engine: str, form: str, batch: int, per_second: float) -> Row:
    return Row(
        workload="tiny",
        search="greedy",
        batch=batch,
        engine=engine,
        format=form,
        per_second=per_second,
        unit="tokens",
        seconds=[0.1, 0.2],
        agreement=1.0,
        bleu=45.5,
        peak_mib=1234.0,
        running_mib=900.0,
        libraries_mib=300.0,
    )


def ratio(batch: int, value: float, goal: float | None) -> Ratio:
    return Ratio(
        workload="tiny",
        search="greedy",
        batch=batch,
        peer="ctranslate2",
        ours_format="int8",
        peer_format="int8_float32",
        ratio=value,
        goal=goal,
    )


ROWS = [row("triptych", "int8", 1, 300), row("ctranslate2", "int8_float32", 1, 150)]
ROWS += [row("triptych", "int8", 4, 3000), row("ctranslate2", "int8_float32", 4, 2000)]
RATIOS = [ratio(1, 2.0, None), ratio(4, 1.5, 2.0)]


def test_the_terminal_shows_quality_and_memory_beside_each_speed_and_ratios_with_goals(
    tiny_workload: Workload, console: Console
) -> None:
    report.show(tiny_workload, ROWS, RATIOS, console)
    text = console.export_text()
    line = next(line for line in text.splitlines() if "triptych int8" in line)
    assert line.split() == ["triptych", "int8", "300", "2", "1.000", "45.50", "1,234", "900", "300"]
    assert "int8 to ctranslate2's best, int8_float32: 1.50 (goal 2: missed)" in text


def test_the_json_names_machine_settings_rows_and_ratios(tiny_workload: Workload) -> None:
    figures = report.document([(tiny_workload, ROWS, RATIOS)], {"rounds": 3})
    written = json.loads(json.dumps({"machine": report.machine(threads=2), **figures}))
    assert written["machine"].keys() >= {"cpu", "threads", "torch", "ctranslate2", "transformers"}
    assert written["settings"] == {"rounds": 3}
    (workload,) = written["workloads"]
    assert workload["rows"][0].keys() >= {"engine", "format", "batch", "per_second", "agreement", "bleu", "peak_mib"}
    assert [each["ratio"] for each in workload["ratios"]] == [2.0, 1.5]


def test_the_markdown_has_contenders_down_batches_across_and_ratios_below(tiny_workload: Workload) -> None:
    lines = report.markdown([(tiny_workload, ROWS, RATIOS)]).splitlines()
    assert "| greedy | batch 1 | batch 4 | agreement | BLEU | peak MiB | running | libraries |" in lines
    assert "| triptych int8 | 300 | 3,000 | 1.000 | 45.50 | 1,234 | 900 | 300 |" in lines
    assert "| ours to ctranslate2's best | **2.00** | **1.50** |  |  |  |  |  |" in lines


def test_a_column_that_nobody_has_a_figure_for_is_left_out(tiny_workload: Workload) -> None:
    bare = [replace(each, bleu=None) for each in ROWS]
    lines = report.markdown([(tiny_workload, bare, [])]).splitlines()
    assert "| greedy | batch 1 | batch 4 | agreement | peak MiB | running | libraries |" in lines


def test_a_peer_that_says_something_else_in_the_same_precision_is_pointed_out(
    tiny_workload: Workload, console: Console
) -> None:
    other = replace(row("ctranslate2", "float32", 4, 2000), agreement=0.5)
    report.show(tiny_workload, [*ROWS, other], RATIOS, console)
    assert "ctranslate2 float32 does not say what ours says" in console.export_text()
