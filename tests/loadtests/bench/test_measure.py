from __future__ import annotations

import time
from pathlib import Path

import pytest

from loadtests.bench import engines, measure
from loadtests.bench.jobs import Entry, Ids, Job
from loadtests.bench.workloads import Workload

OURS, SLOW, PEER = Entry("triptych", "float32"), Entry("triptych", "slow"), Entry("peer", "float32")
JOB = Job(prompts=[[5], [6]], in_flight=2, max_new_tokens=1, exact=True)


class Fake:
    """Answers with one token, after a while."""

    def __init__(self, seconds: float, log: list[str], name: str, tokens: int = 1) -> None:
        self.seconds, self.log, self.name, self.tokens = seconds, log, name, tokens

    def run(self, job: Job) -> list[Ids]:
        self.log.append(self.name)
        time.sleep(self.seconds)
        return [[9] * self.tokens for _ in job.prompts]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PAUSE_S", 0)
    monkeypatch.setattr(measure, "LEAST_S", 0)


def test_contenders_run_alternately_and_one_far_behind_its_engine_s_best_runs_once() -> None:
    log: list[str] = []
    contenders = {OURS: Fake(0.01, log, "ours"), SLOW: Fake(0.1, log, "slow"), PEER: Fake(0.1, log, "peer")}
    outputs, seconds = measure.race(contenders, JOB, rounds=3)
    warm_up = ["ours", "slow", "peer"]
    assert log == [*warm_up, "ours", "slow", "peer", "ours", "peer", "ours", "peer"]
    assert {entry: len(own) for entry, own in seconds.items()} == {OURS: 3, SLOW: 1, PEER: 3}
    assert outputs[PEER] == [[9], [9]]


def test_a_short_job_is_repeated_and_its_time_is_that_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LEAST_S", 0.1)
    log: list[str] = []
    _, seconds = measure.race({OURS: Fake(0.02, log, "ours")}, JOB, rounds=1)
    assert len(log) > 3
    assert seconds[OURS] == [pytest.approx(0.02, abs=0.019)]


def test_an_output_of_another_length_is_no_comparison() -> None:
    with pytest.raises(ValueError, match=r"\[2\] tokens instead of 1"):
        measure.race({OURS: Fake(0, [], "ours", tokens=2)}, JOB, rounds=1)


def test_agreement_is_the_share_of_equal_tokens_or_of_equal_outputs() -> None:
    assert measure.agreement([[1, 2], [3, 4]], [[1, 2], [3, 9]], by_token=True) == 0.75
    assert measure.agreement([[1, 2], [3]], [[1, 2], [3, 9]], by_token=False) == 0.5


def test_a_workload_is_measured_with_every_engine_and_the_same_outputs(tiny_workload: Workload) -> None:
    said: list[str] = []
    rows = measure.measure(tiny_workload, rounds=2, threads=1, memory=False, say=said.append)
    assert said == ["tiny: greedy, batch 1", "tiny: greedy, batch 4"]
    assert {(row.engine, row.batch) for row in rows} == {
        (engine, batch) for engine in ("triptych", "ctranslate2", "transformers") for batch in (1, 4)
    }
    for row in rows:
        assert row.per_second > 0
        assert 1 <= len(row.seconds) <= 2
        assert row.peak_mib is None
        if row.format == "float32":
            assert row.agreement == 1
    ratios = measure.ratios(tiny_workload, rows)
    assert {(ratio.peer, ratio.batch): ratio.goal for ratio in ratios} == {
        ("ctranslate2", 1): None,
        ("transformers", 1): None,
        ("ctranslate2", 4): 2.0,
        ("transformers", 4): None,
    }
    for ratio in ratios:
        here = [row for row in rows if row.batch == ratio.batch]
        ours, theirs = (max(r.per_second for r in here if r.engine == e) for e in ("triptych", ratio.peer))
        assert ratio.ratio == pytest.approx(ours / theirs)


def test_memory_is_asked_for_where_a_contender_stayed_to_the_last_round_and_stands_in_its_row(
    tiny_workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peaks(entry: Entry, directory: Path, workload: Workload, jobs: list[Job], threads: int) -> list[dict]:
        return [{"peak_mib": 1000.0 * job.in_flight + len(entry.label)} for job in jobs]

    monkeypatch.setattr(measure, "peaks", peaks)
    rows = measure.measure(tiny_workload, rounds=2, threads=1, memory=True, say=lambda text: None)
    measured = [row for row in rows if row.peak_mib is not None]
    assert all(row.peak_mib == 1000.0 * row.batch + len(row.format) for row in measured)
    for row in rows:
        assert len(row.seconds) == 2 or row.peak_mib is None
    for engine in ("triptych", "ctranslate2", "transformers"):
        assert {row.batch for row in measured if row.engine == engine} == {1, 4}


def test_peak_memory_is_of_a_process_that_runs_these_jobs_alone(tiny_workload: Workload, tmp_path: Path) -> None:
    engines.write(tiny_workload.model, tmp_path)
    entry = Entry("ctranslate2", "float32")
    found = measure.peaks(entry, tmp_path, tiny_workload, tiny_workload.jobs, threads=1)
    assert len(found) == len(tiny_workload.jobs)
    for peak in found:
        assert 0 < peak["libraries_mib"] < peak["running_mib"] <= peak["peak_mib"] < 1000
