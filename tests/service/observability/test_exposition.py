from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.observability.exposition import merge


def text_of(value: float, label: str = "x") -> bytes:
    registry = CollectorRegistry()
    Gauge("plain", "Without labels.", registry=registry).set(value)
    Counter("things_total", "With labels.", ["kind"], registry=registry).labels(label).inc(value)
    Histogram("size", "A histogram.", ["kind"], buckets=(1, 2), registry=registry).labels(label).observe(value)
    return generate_latest(registry)


def test_each_family_is_there_once_with_every_replicas_samples():
    merged = merge([("one", text_of(1)), ("two", text_of(2))]).decode()
    assert merged.count("# TYPE plain gauge") == merged.count("# HELP things_total") == 1
    families = {family.name: family for family in text_string_to_metric_families(merged)}
    plain = {sample.labels["replica"]: sample.value for sample in families["plain"].samples}
    assert plain == {"one": 1, "two": 2}
    assert families["size"].type == "histogram"
    assert len(families["size"].samples) == 2 * 5


def test_the_created_series_are_left_out():
    assert "_created" not in merge([("one", text_of(1))]).decode()


def test_what_is_not_metrics_is_left_out():
    merged = merge([("broken", b"\xff<html>502</html>\n# HELP\n# TYPE x"), ("one", text_of(1))])
    assert merged == merge([("one", text_of(1))])


@given(label=st.text(), replica=st.text(max_size=5))
def test_any_label_value_survives(label, replica):
    merged = merge([(replica, text_of(1, label))]).decode()
    samples = [sample for family in text_string_to_metric_families(merged) for sample in family.samples]
    assert len(samples) == 1 + 1 + 5
    for sample in samples:
        assert sample.labels["replica"] == replica
        assert sample.labels.get("kind", label) == label
