from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from loadtests.bench import measure, workloads
from loadtests.bench.cli import parser
from loadtests.bench.workloads import Workload
from service.cli import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_an_engine_run_prints_tables_and_writes_json_and_markdown(
    tiny_workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "workloads", lambda names, options: [tiny_workload])
    monkeypatch.setattr(measure, "PAUSE_S", 0)
    monkeypatch.setattr(measure, "LEAST_S", 0)
    figures, tables = tmp_path / "bench.json", tmp_path / "bench.md"
    done = run("engine", "--workload", "b", "--quick", "--json", figures, "--markdown", tables)
    assert done.exit_code == 0, done.output
    assert "to ctranslate2's best" in done.output
    written = json.loads(figures.read_text())
    assert written.keys() == {"machine", "settings", "workloads"}
    assert written["settings"]["batches"] == [1, 8]
    assert "| greedy | batch 1 | batch 4 |" in tables.read_text()


def test_several_workloads_and_batches_follow_one_option() -> None:
    given = parser().parse_args(["engine", "--workload", "a", "d", "--batches", "1", "32", "--rounds", "5"])
    assert (given.workload, given.batches, given.rounds) == (["a", "d"], [1, 32], 5)


def test_help_lists_what_can_be_measured() -> None:
    done = run("--help")
    assert done.exit_code == 0
    commands = {
        "engine",
        "arrivals",
        "growth",
        "overhead",
        "prompts",
        "decode-step",
        "gateway",
        "flood",
        "memory",
        "compression",
        "attention",
    }
    commands |= {"segmentation"}
    assert set(re.findall(r"^    ([\w-]+) {2,}\w", done.output, re.MULTILINE)) == commands


def test_a_file_that_is_not_there_is_an_error_in_one_line(tmp_path: Path) -> None:
    done = run("engine", "--workload", "a", "--tsv", tmp_path / "none.tsv")
    assert done.exit_code == 2
    assert "none.tsv" in done.output
    assert "Traceback" not in done.output


def test_without_the_extra_the_error_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def hidden(name: str, *rest: Any) -> Any:
        return None if name == "ctranslate2" else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    done = run("engine")
    assert done.exit_code == 2
    assert "need ctranslate2" in done.output
    assert "pip install -c" in done.output
    assert "[bench]" in done.output


def test_an_installation_without_the_source_says_where_the_benchmarks_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.commands.bench.__file__", str(tmp_path / "service" / "commands" / "bench.py"))
    done = run("engine")
    assert done.exit_code == 2
    assert "install from a checkout" in done.output
