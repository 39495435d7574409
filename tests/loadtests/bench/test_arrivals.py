from __future__ import annotations

import itertools

import pytest
from rich.console import Console

from loadtests.bench import arrivals
from loadtests.bench.arrivals import Arrival, Continuous, Point, Static
from loadtests.bench.engines import Triptych
from models.config import Seq2SeqConfig
from tests.models.tiny import built

CONFIG = Seq2SeqConfig(
    vocab_size=61, width=32, heads=4, feedforward=48, encoder_layers=1, decoder_layers=1, max_source=64, max_target=130
)


def test_requests_arrive_at_the_asked_rate_with_lengths_in_their_limits() -> None:
    found = arrivals.requests(50, 20, vocabulary=61)
    assert len(found) == pytest.approx(1000, rel=0.15)
    assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(found))
    assert all(4 <= len(each.source) <= 64 and 4 <= each.target_tokens <= 128 for each in found)
    targets = sorted(each.target_tokens for each in found)
    assert sum(targets) / len(targets) > targets[len(targets) // 2], "skewed: a few are long"
    assert arrivals.requests(50, 20, vocabulary=61) == found


@pytest.fixture
def triptych() -> Triptych:
    return Triptych(built(CONFIG), "float32", arrivals.ROOM)


@pytest.mark.parametrize("system", [Continuous, Static])
def test_each_way_has_a_latency_for_each_request(system: type, triptych: Triptych) -> None:
    some = [Arrival(0.001 * n, [3 + n, 9, 20][: 1 + n % 3], 4 + n % 5) for n in range(40)]
    latencies = system(triptych)(some)
    assert len(latencies) == 40
    assert all(latency > 0 for latency in latencies)


def test_a_static_batch_is_what_comes_within_ten_milliseconds_and_at_most_thirty_two_and_as_long_as_its_longest(
    triptych: Triptych, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[tuple[int, int]] = []
    monkeypatch.setattr(triptych, "run", lambda job: batches.append((len(job.prompts), job.max_new_tokens)))
    Static(triptych)([Arrival(0, [5], 4 + n) for n in range(40)] + [Arrival(0.2, [5], 9), Arrival(0.205, [5], 4)])
    assert batches == [(32, 35), (8, 43), (2, 9)]


def point(rate: float, p95_s: float) -> Point:
    return Point(system="static", rate=rate, throughput=rate, p50_s=0, p95_s=p95_s)


def test_the_rate_at_the_bound_lies_between_the_points_around_it() -> None:
    assert arrivals.crossing([point(10, 0.5), point(20, 1.5)], bound_s=1.0) == 15
    assert arrivals.crossing([point(10, 0.5), point(20, 0.6)], bound_s=1.0) == 20
    assert arrivals.crossing([point(10, 1.5)], bound_s=1.0) is None


def test_the_report_says_bound_rates_and_ratio(console: Console) -> None:
    figures = arrivals.run(precision="float32", seconds=0.05, console=console, model=built(CONFIG))
    assert figures.keys() >= {"precision", "bound_s", "points", "rates_at_bound", "ratio", "goal"}
    assert {each["system"] for each in figures["points"]} == {"continuous", "static"}
    assert "so the bound is" in console.export_text()
