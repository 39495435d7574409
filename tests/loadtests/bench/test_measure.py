from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.bench import measure
from loadtests.bench.jobs import Entry, Ids, Job
from loadtests.bench.worker import Run, Worker, timed
from loadtests.bench.workloads import Workload
from models.shortlist import learned

OURS, SLOW, PEER = Entry("triptych", "float32"), Entry("triptych", "slow"), Entry("peer", "float32")
JOB = Job(prompts=[[5], [6]], in_flight=2, max_new_tokens=1, exact=True)


class Fake:
    """Answers with one token, and says how long that took."""

    def __init__(self, seconds: float, log: list[str], name: str, tokens: int = 1) -> None:
        self.seconds, self.log, self.name, self.tokens = seconds, log, name, tokens

    def run(self, job: Job, least_s: float = 0.0) -> Run:
        self.log.append(self.name)
        outputs = [[9] * self.tokens for _ in job.prompts]
        return Run(outputs=outputs, seconds=self.seconds, peak_mib=3.0, running_mib=2.0, libraries_mib=1.0)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PAUSE_S", 0)
    monkeypatch.setattr(measure, "LEAST_S", 0)


def test_contenders_run_alternately_and_one_far_behind_its_engine_s_best_runs_once() -> None:
    log: list[str] = []
    contenders = {OURS: Fake(0.01, log, "ours"), SLOW: Fake(0.1, log, "slow"), PEER: Fake(0.1, log, "peer")}
    runs = measure.race(contenders, JOB, rounds=3)
    warm_up = ["ours", "slow", "peer"]
    assert log == [*warm_up, "ours", "slow", "peer", "ours", "peer", "ours", "peer"]
    assert {entry: len(own) for entry, own in runs.items()} == {OURS: 3, SLOW: 1, PEER: 3}
    assert runs[PEER][-1].outputs == [[9], [9]]


def test_a_short_job_is_repeated_and_its_time_is_that_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0

    class Contender:
        runs = 0

        def run(self, job: Job) -> list[Ids]:
            nonlocal now
            self.runs += 1
            now += 0.25
            return [[self.runs]]

    monkeypatch.setattr("loadtests.bench.worker.time.perf_counter", lambda: now)
    assert timed(Contender(), JOB, least_s=1.0) == ([[4]], 0.25)
    assert timed(Contender(), JOB, least_s=0.0) == ([[1]], 0.25)


def test_an_output_of_another_length_is_no_comparison() -> None:
    with pytest.raises(ValueError, match=r"\[2\] tokens instead of 1"):
        measure.race({OURS: Fake(0, [], "ours", tokens=2)}, JOB, rounds=1)


def test_agreement_is_the_share_of_equal_tokens_or_of_equal_outputs() -> None:
    assert measure.agreement([[1, 2], [3, 4]], [[1, 2], [3, 9]], by_token=True) == 0.75
    assert measure.agreement([[1, 2], [3]], [[1, 2], [3, 9]], by_token=False) == 0.5


def test_a_workload_is_measured_with_every_engine_and_the_same_outputs(tiny_workload: Workload) -> None:
    said: list[str] = []
    rows = measure.measure(tiny_workload, rounds=2, threads=1, say=said.append)
    assert said == ["tiny: loading", "tiny: greedy, batch 1", "tiny: greedy, batch 4"]
    assert {(row.engine, row.batch) for row in rows} == {
        (engine, batch) for engine in ("triptych", "ctranslate2", "openvino", "transformers") for batch in (1, 4)
    }
    for row in rows:
        assert row.per_second > 0
        assert 1 <= len(row.seconds) <= 2
        assert 0 < row.libraries_mib < row.running_mib <= row.peak_mib < 2000
        if row.format == "float32":
            assert row.agreement == 1
    ratios = measure.ratios(tiny_workload, rows)
    assert {(ratio.peer, ratio.batch): ratio.goal for ratio in ratios} == {
        ("ctranslate2", 1): None,
        ("openvino", 1): None,
        ("transformers", 1): None,
        ("ctranslate2", 4): 2.0,
        ("openvino", 4): None,
        ("transformers", 4): None,
    }
    for ratio in ratios:
        here = [row for row in rows if row.batch == ratio.batch]
        ours, theirs = (max(r.per_second for r in here if r.engine == e) for e in ("triptych", ratio.peer))
        assert ratio.ratio == pytest.approx(ours / theirs)


def test_contenders_with_lists_are_compared_with_each_other_alone(tiny_workload: Workload) -> None:
    size = tiny_workload.model.config.vocab_size
    table = learned({"en": []}, vocabulary=size, best=1, frequent=0, always=range(40)).languages["en"]
    workload = replace(tiny_workload, table=table, jobs=tiny_workload.jobs[:1])
    rows = measure.measure(workload, rounds=1, threads=1, say=lambda _: None)
    assert any(row.listed for row in rows if row.engine == "ctranslate2")
    assert all(row.format.endswith(", shortlist") == row.listed for row in rows)
    ratios = measure.ratios(workload, rows)
    int8 = any(row.listed for row in rows if row.engine == "triptych")
    assert [(r.peer, r.listed) for r in ratios] == [
        ("ctranslate2", False),
        ("openvino", False),
        ("transformers", False),
        *([("ctranslate2", True)] if int8 else []),
    ]
    assert all(ratio.ours_format.endswith(", shortlist") == ratio.listed for ratio in ratios)


def test_a_contender_that_dies_is_named(tiny_workload: Workload, tmp_path: Path) -> None:
    worker = Worker(Entry("ctranslate2", "float32"), tmp_path, tiny_workload.room, threads=1)
    with pytest.raises(RuntimeError, match="ctranslate2 float32 ended with 1"):
        worker.run(JOB)
    worker.close()


def test_accuracy_is_the_share_of_right_labels() -> None:
    assert measure._accuracy([[0], [1], [1], [0]], [0, 1, 0, 0]) == 0.75
