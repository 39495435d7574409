from __future__ import annotations

import inspect
import pickle
import time
from itertools import pairwise
from typing import get_args

from prometheus_client import Metric, ProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from service.engine.stats import Outcome, RequestStats, StepStats
from service.messages import FINISH_REASONS, ModelInfo
from service.observability import metrics as metrics_module
from service.observability.metrics import FINISHED_REASONS, GatewayMetrics, WorkerMetrics

PROCESS = {
    "process_cpu_seconds_total": [],
    "process_max_fds": [],
    "process_open_fds": [],
    "process_resident_memory_bytes": [],
    "process_start_time_seconds": [],
    "process_virtual_memory_bytes": [],
}
GATEWAY = {
    **PROCESS,
    "triptych_admission_refusals_total": ["reason"],
    "triptych_batch_requests": ["model"],
    "triptych_http_cancelled_total": ["route"],
    "triptych_key_requests_total": ["key", "status"],
    "triptych_key_tokens_total": ["key"],
    "triptych_key_refusals_total": ["key", "quota"],
    "triptych_http_errors_total": ["route", "code"],
    "triptych_http_request_duration_seconds": ["route"],
    "triptych_http_requests_in_flight": ["route"],
    "triptych_http_requests_total": ["route", "status"],
    "triptych_http_time_to_first_token_seconds": ["route"],
    "triptych_model_ready": ["model"],
    "triptych_restarts_total": ["process"],
    "triptych_scrape_failures_total": ["model"],
}
WORKER = {
    **PROCESS,
    "triptych_decode_time_seconds": ["model"],
    "triptych_generated_tokens_total": ["model"],
    "triptych_inter_token_latency_seconds": ["model"],
    "triptych_kv_cache_bytes": ["model"],
    "triptych_kv_cache_usage_ratio": ["model"],
    "triptych_model_info": ["model", "version", "architecture", "device", "precision"],
    "triptych_model_loaded_timestamp_seconds": ["model"],
    "triptych_prefill_time_seconds": ["model"],
    "triptych_prefix_cache_hit_tokens_total": ["model"],
    "triptych_prefix_cache_queries_tokens_total": ["model"],
    "triptych_prompt_tokens_total": ["model"],
    "triptych_queue_time_seconds": ["model"],
    "triptych_reloads_total": ["model", "outcome"],
    "triptych_request_duration_seconds": ["model"],
    "triptych_requests_cancelled_total": ["model", "stage"],
    "triptych_requests_finished_total": ["model", "reason"],
    "triptych_running_requests": ["model"],
    "triptych_slots": ["model"],
    "triptych_slots_used": ["model"],
    "triptych_step_batch_size": ["model"],
    "triptych_step_padded_tokens": ["model"],
    "triptych_time_to_first_token_seconds": ["model"],
    "triptych_tokens_after_cancel_total": ["model"],
    "triptych_waiting_requests": ["model"],
}

STEP = {
    "prefill_requests": 2,
    "prefill_tokens": 30,
    "padded_tokens": 40,
    "decode_requests": 3,
    "abandoned_tokens": 1,
    "prefix_query_tokens": 30,
    "prefix_hit_tokens": 20,
    "prefill_s": 0.004,
    "decode_s": 0.001,
    "running": 4,
    "waiting": 7,
    "slots_used": 6,
    "kv_used_tokens": 25,
    "kv_total_tokens": 100,
}
REQUEST = {
    "outcome": "eos_token",
    "stage": "finished",
    "prompt_tokens": 10,
    "generated_tokens": 3,
    "queue_s": 0.001,
    "first_token_s": 0.003,
    "total_s": 0.01,
    "inter_token_s": (0.002, 0.004),
}


def declared(metrics: GatewayMetrics | WorkerMetrics) -> dict[str, list[str]]:
    names = {}
    for collector in metrics.registry._collector_to_names:
        for family in collector.collect() if isinstance(collector, ProcessCollector) else [collector]:
            name, kind = (family.name, family.type) if isinstance(family, Metric) else (family._name, family._type)
            names[name + ("_total" if kind == "counter" else "")] = list(getattr(family, "_labelnames", ()))
    return names


def test_the_names_and_labels_are_these():
    assert declared(GatewayMetrics(["m"])) == GATEWAY
    assert declared(WorkerMetrics("m")) == WORKER


def test_the_smallest_bucket_is_half_a_millisecond():
    families = text_string_to_metric_families(WorkerMetrics("m").render().decode())
    bounds = [s.labels["le"] for f in families if f.name.endswith("seconds") for s in f.samples if "le" in s.labels]
    assert min(float(bound) for bound in bounds) == 0.0005


def test_what_can_be_alerted_on_exists_at_zero():
    metrics = WorkerMetrics("m")
    value = metrics.registry.get_sample_value
    assert value("triptych_tokens_after_cancel_total", {"model": "m"}) == 0
    assert value("triptych_requests_finished_total", {"model": "m", "reason": "error"}) == 0
    assert value("triptych_requests_cancelled_total", {"model": "m", "stage": "waiting"}) == 0
    assert value("triptych_reloads_total", {"model": "m", "outcome": "failure"}) == 0
    metrics.reloaded("failure")
    assert value("triptych_reloads_total", {"model": "m", "outcome": "failure"}) == 1
    assert value("triptych_reloads_total", {"model": "m", "outcome": "success"}) == 0


def test_what_the_gateway_can_be_alerted_on_exists_at_zero():
    metrics = GatewayMetrics(["m"])
    value = metrics.registry.get_sample_value
    assert value("triptych_model_ready", {"model": "m"}) == 0
    for process in ("gateway", "m"):
        assert value("triptych_restarts_total", {"process": process}) == 0
    assert value("triptych_http_errors_total", {"route": "/generate", "code": "not_ready"}) is None
    metrics.request_started("/generate")
    assert value("triptych_http_errors_total", {"route": "/generate", "code": "not_ready"}) == 0


def test_restarts_are_what_the_supervisor_says_in_all():
    metrics = GatewayMetrics(["m"])
    for total in (2, 2, 5):
        metrics.restarted("gateway", total)
    metrics.restarted("front", 1)
    value = metrics.registry.get_sample_value
    assert value("triptych_restarts_total", {"process": "gateway"}) == 5
    assert value("triptych_restarts_total", {"process": "m"}) == 0
    assert value("triptych_restarts_total", {"process": "front"}) == 1


def test_tokens_5_to_25_ms_apart_are_told_apart():
    families = text_string_to_metric_families(WorkerMetrics("m").render().decode())
    bounds = {f.name: {float(s.labels["le"]) for s in f.samples if "le" in s.labels} for f in families}
    for name in ("inter_token_latency", "prefill_time", "decode_time"):
        within = sorted(bound for bound in bounds[f"triptych_{name}_seconds"] if 0.005 <= bound <= 0.025)
        assert (within[0], within[-1]) == (0.005, 0.025), name
        assert all(high / low <= 1.3 for low, high in pairwise(within)), name


def test_the_process_itself_is_measured():
    for metrics in (GatewayMetrics(["m"]), WorkerMetrics("m")):
        value = metrics.registry.get_sample_value
        assert value("process_resident_memory_bytes") > 1e6
        assert value("process_cpu_seconds_total") > 0
        assert 0 < time.time() - value("process_start_time_seconds") < 86400
        assert value("process_open_fds") > 2


def test_a_step_is_counted():
    metrics = WorkerMetrics("m")
    metrics.observe_step(StepStats(**STEP))
    value = metrics.registry.get_sample_value
    assert value("triptych_step_batch_size_sum", {"model": "m"}) == 5
    assert value("triptych_step_padded_tokens_sum", {"model": "m"}) == 40
    assert value("triptych_prefill_time_seconds_sum", {"model": "m"}) == 0.004
    assert value("triptych_decode_time_seconds_sum", {"model": "m"}) == 0.001
    assert value("triptych_running_requests", {"model": "m"}) == 4
    assert value("triptych_waiting_requests", {"model": "m"}) == 7
    assert value("triptych_slots_used", {"model": "m"}) == 6
    assert value("triptych_tokens_after_cancel_total", {"model": "m"}) == 1
    assert value("triptych_prefix_cache_queries_tokens_total", {"model": "m"}) == 30
    assert value("triptych_prefix_cache_hit_tokens_total", {"model": "m"}) == 20
    assert value("triptych_kv_cache_usage_ratio", {"model": "m"}) == 0.25


def test_a_step_without_prefill_or_cache_does_not_count_as_one():
    metrics = WorkerMetrics("m")
    metrics.observe_step(StepStats(**(STEP | {"prefill_requests": 0, "kv_used_tokens": 0, "kv_total_tokens": 0})))
    value = metrics.registry.get_sample_value
    assert value("triptych_prefill_time_seconds_count", {"model": "m"}) == 0
    assert value("triptych_kv_cache_usage_ratio", {"model": "m"}) == 0


def test_an_answered_request_is_counted():
    metrics = WorkerMetrics("m")
    metrics.observe_request(RequestStats(**REQUEST))
    value = metrics.registry.get_sample_value
    assert value("triptych_requests_finished_total", {"model": "m", "reason": "eos_token"}) == 1
    assert value("triptych_request_duration_seconds_sum", {"model": "m"}) == 0.01
    assert value("triptych_queue_time_seconds_sum", {"model": "m"}) == 0.001
    assert value("triptych_time_to_first_token_seconds_sum", {"model": "m"}) == 0.003
    assert value("triptych_inter_token_latency_seconds_count", {"model": "m"}) == 2
    assert value("triptych_inter_token_latency_seconds_sum", {"model": "m"}) == 0.006
    assert value("triptych_prompt_tokens_total", {"model": "m"}) == 10
    assert value("triptych_generated_tokens_total", {"model": "m"}) == 3


def test_a_request_given_up_is_counted_by_stage_and_has_no_latency():
    metrics = WorkerMetrics("m")
    left = {"outcome": "cancelled", "stage": "waiting", "queue_s": None, "first_token_s": None, "inter_token_s": ()}
    metrics.observe_request(RequestStats(**(REQUEST | left)))
    value = metrics.registry.get_sample_value
    assert value("triptych_requests_cancelled_total", {"model": "m", "stage": "waiting"}) == 1
    assert value("triptych_request_duration_seconds_count", {"model": "m"}) == 0
    assert value("triptych_queue_time_seconds_count", {"model": "m"}) == 0


def test_a_reload_leaves_one_version():
    metrics = WorkerMetrics("m")
    for version in ("m@1", "m@2"):
        info = {"name": "m", "task": "generate", "version": version, "architecture": "gpt", "parameters": 1}
        limits = {"device": "cpu", "precision": "int8", "slots": 8, "max_prompt_tokens": 9, "max_new_tokens": 9}
        limits["kv_cache_bytes"] = 4096
        metrics.describe(ModelInfo(**info, **limits))
    (family,) = [f for f in metrics.registry.collect() if f.name == "triptych_model_info"]
    assert [sample.labels["version"] for sample in family.samples] == ["m@2"]
    assert metrics.registry.get_sample_value("triptych_slots", {"model": "m"}) == 8
    assert (
        abs(metrics.registry.get_sample_value("triptych_model_loaded_timestamp_seconds", {"model": "m"}) - time.time())
        < 60
    )
    assert metrics.registry.get_sample_value("triptych_kv_cache_bytes", {"model": "m"}) == 4096


def test_the_classes_can_be_sent_to_other_processes_with_all_that_is_beside_them():
    for name, value in vars(metrics_module).items():
        if not name.startswith("__") and not inspect.ismodule(value):
            pickle.dumps(value)  # a registry or a metric has a lock, and raises TypeError
    assert pickle.loads(pickle.dumps(WorkerMetrics)) is WorkerMetrics


def test_every_outcome_of_a_request_is_counted_under_its_own_reason() -> None:
    assert set(FINISHED_REASONS) == {outcome for part in get_args(Outcome) for outcome in get_args(part)}
    assert FINISHED_REASONS[: len(FINISH_REASONS)] == FINISH_REASONS
