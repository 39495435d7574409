"""The checks of expressions can fail."""

from __future__ import annotations

import pytest

from tests.deploy.exposition import missing, rendered


@pytest.mark.parametrize(
    "expression",
    [
        "rate(triptych_nothing_total[1m])",
        "rate(triptych_generated_tokens[1m])",
        'triptych_running_requests{route="/generate"}',
        "sum by (route) (triptych_running_requests)",
        "histogram_quantile(0.5, sum by (le) (rate(triptych_queue_time_seconds_count[1m])))",
        "vector(1)",
    ],
)
def test_an_expression_is_refused(expression: str) -> None:
    assert missing(expression)


def test_the_parts_of_a_histogram_are_metrics() -> None:
    parts = {f"triptych_queue_time_seconds_{part}" for part in ("bucket", "sum", "count")}
    assert parts <= rendered().keys()
    assert rendered()["triptych_queue_time_seconds_bucket"] == {"replica", "model", "le"}
