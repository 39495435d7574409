"""Every metric of the project, declared here and nowhere else.

Names are `triptych_<noun>_<unit>`, the vocabulary is vLLM's, labels are bounded. Registries are made in `__init__`: a
module-level one holds a lock, which Ray cannot pickle.

Knows nothing of HTTP, Ray or torch: it counts the plain numbers it is given.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from service.messages import FINISH_REASONS, ModelInfo

if TYPE_CHECKING:  # the shape of what the engine emits; nothing of the engine is loaded
    from service.engine.stats import RequestStats, StepStats

# Small models answer in milliseconds: the first bucket is half of one.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# A step, and so the time between two tokens, takes a few milliseconds to some tens: there the buckets are finer.
STEP_SECONDS = (
    *(0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.01, 0.012, 0.014, 0.017, 0.02, 0.025),
    *(0.035, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)

GIVEN_UP = ("cancelled", "deadline")
FINISHED_REASONS = (*FINISH_REASONS, *GIVEN_UP, "error")
STAGES = ("waiting", "running", "finished")
REFUSALS = ("gateway", "worker")
RELOADS = ("success", "failure")
OUR_ERRORS = ("internal", "not_ready")
GATEWAY = "gateway"


class GatewayMetrics:
    """What one gateway replica counts. `replica` is its name in the merged `/metrics`."""

    def __init__(self, models: Sequence[str], replica: str = GATEWAY) -> None:
        self.replica = replica
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        seconds = partial(histogram, buckets=SECONDS)
        self._requests = counter(
            "triptych_http_requests_total",
            "HTTP requests by route and status; 499: the client left.",
            ["route", "status"],
        )
        self._errors = counter(
            "triptych_http_errors_total",
            "Errors that clients were told, as an answer or within a stream, by their code.",
            ["route", "code"],
        )
        self._duration = seconds(
            "triptych_http_request_duration_seconds", "From the request's first byte to the answer's last.", ["route"]
        )
        self._first_token = seconds(
            "triptych_http_time_to_first_token_seconds",
            "From the request's first byte to the first token of a streamed answer.",
            ["route"],
        )
        self._in_flight = gauge("triptych_http_requests_in_flight", "HTTP requests being answered.", ["route"])
        self._refusals = counter(
            "triptych_admission_refusals_total",
            "Requests refused with 503 because the gateway or a worker was full.",
            ["reason"],
        )
        self._cancelled = counter(
            "triptych_http_cancelled_total", "Requests whose client left before the answer was complete.", ["route"]
        )
        self._batch = histogram(
            "triptych_batch_requests", "Texts handed to a worker in one call.", ["model"], buckets=REQUESTS
        )
        self._scrape_failures = counter(
            "triptych_scrape_failures_total",
            "Scrapes in which a model's workers did not hand over their metrics.",
            ["model"],
        )
        self._ready = gauge(
            "triptych_model_ready",
            "1 while the model gives signs of life, 0 while requests to it are refused.",
            ["model"],
        )
        self._key_requests = counter(
            "triptych_key_requests_total", "HTTP requests of each key, by status.", ["key", "status"]
        )
        self._key_tokens = counter("triptych_key_tokens_total", "Tokens read and written for each key.", ["key"])
        self._key_refusals = counter(
            "triptych_key_refusals_total", "Requests refused with 429, by the quota that was used up.", ["key", "quota"]
        )
        self._restarts = counter(
            "triptych_restarts_total",
            "Processes that were started again after their end, by what they are.",
            ["process"],
        )
        self._routes: set[str] = set()  # whose counters exist
        self._told_restarts = dict.fromkeys((GATEWAY, *models), 0)
        for reason in REFUSALS:  # a counter that exists at 0 can be alerted on
            self._refusals.labels(reason)
        for process in self._told_restarts:
            self._restarts.labels(process)
        for model in models:
            self._batch.labels(model)
            self._scrape_failures.labels(model)
            self._ready.labels(model)

    def request_started(self, route: str) -> None:
        self._in_flight.labels(route).inc()
        if route not in self._routes:
            self._routes.add(route)
            for code in OUR_ERRORS:
                self._errors.labels(route, code)

    def request_ended(self, route: str, status: int, seconds: float) -> None:
        self._in_flight.labels(route).dec()
        self._requests.labels(route, str(status)).inc()
        self._duration.labels(route).observe(seconds)
        if status == 499:
            self._cancelled.labels(route).inc()

    def key_asked(self, key: str, status: int) -> None:
        self._key_requests.labels(key, str(status)).inc()

    def key_tokens(self, key: str, tokens: int) -> None:
        self._key_tokens.labels(key).inc(tokens)

    def key_refused(self, key: str, quota: str) -> None:
        self._key_refusals.labels(key, quota).inc()

    def first_token(self, route: str, seconds: float) -> None:
        self._first_token.labels(route).observe(seconds)

    def failed(self, route: str, code: str) -> None:
        self._errors.labels(route, code).inc()

    def model_ready(self, model: str, ready: bool) -> None:
        self._ready.labels(model).set(ready)

    def restarted(self, process: str, total: int) -> None:
        """`process`, the gateway or a model, has been started again `total` times, as who supervises it counts."""
        self._restarts.labels(process).inc(max(total - self._told_restarts.get(process, 0), 0))
        self._told_restarts[process] = total

    def refused(self, reason: str) -> None:
        self._refusals.labels(reason).inc()

    def batch_submitted(self, model: str, requests: int) -> None:
        self._batch.labels(model).observe(requests)

    def scrape_failed(self, model: str) -> None:
        self._scrape_failures.labels(model).inc()

    def render(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.registry)


class WorkerMetrics:
    """What one worker replica counts about its model. Safe to call from the engine's thread."""

    def __init__(self, model: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._model = model
        self._declare_requests()
        self._declare_steps()
        self._declare_model()

    def _declare_requests(self) -> None:
        self._queue = self._histogram("triptych_queue_time_seconds", "From arrival to the first step.", SECONDS)
        self._first_token = self._histogram(
            "triptych_time_to_first_token_seconds", "From arrival to the first token.", SECONDS
        )
        self._inter_token = self._histogram(
            "triptych_inter_token_latency_seconds", "Between neighbouring tokens of one sequence.", STEP_SECONDS
        )
        self._duration = self._histogram(
            "triptych_request_duration_seconds", "From arrival to the end, of answered requests.", SECONDS
        )
        self._prompt_tokens = self._counter("triptych_prompt_tokens_total", "Prompt tokens of ended requests.")
        self._generated_tokens = self._counter("triptych_generated_tokens_total", "Generated tokens of ended requests.")
        self._finished = Counter(
            "triptych_requests_finished_total",
            "Requests that ended, by reason.",
            ["model", "reason"],
            registry=self.registry,
        )
        self._cancelled = Counter(
            "triptych_requests_cancelled_total",
            "Requests given up by client or deadline, by the stage they were in.",
            ["model", "stage"],
            registry=self.registry,
        )
        for reason in FINISHED_REASONS:
            self._finished.labels(self._model, reason)
        for stage in STAGES:
            self._cancelled.labels(self._model, stage)

    def _declare_steps(self) -> None:
        self._prefill = self._histogram("triptych_prefill_time_seconds", "Prefill part of a step.", STEP_SECONDS)
        self._decode = self._histogram("triptych_decode_time_seconds", "Decode part of a step.", STEP_SECONDS)
        self._batch_size = self._histogram(
            "triptych_step_batch_size", "Sequences in one step: requests, or their sentences and samples.", REQUESTS
        )
        self._padded = self._histogram(
            "triptych_step_padded_tokens", "Prompt tokens a step computed, padding included.", TOKENS
        )
        self._tokens_after_cancel = self._counter(
            "triptych_tokens_after_cancel_total", "Tokens computed for requests already cancelled: should stay 0."
        )
        self._running = self._gauge(
            "triptych_running_requests", "Sequences in the running batch: requests, or their sentences and samples."
        )
        self._waiting = self._gauge(
            "triptych_waiting_requests",
            "Sequences waiting for a slot; sentences that wait for others of their text are not among them.",
        )
        self._slots_used = self._gauge("triptych_slots_used", "Slots that hold a sequence.")
        self._kv_usage = self._gauge("triptych_kv_cache_usage_ratio", "Part of the key/value cache in use, 0 to 1.")
        self._prefix_queries = self._counter(
            "triptych_prefix_cache_queries_tokens_total", "Prompt tokens that were looked for in the prefix cache."
        )
        self._prefix_hits = self._counter(
            "triptych_prefix_cache_hit_tokens_total", "Prompt tokens that were there and not computed again."
        )

    def _declare_model(self) -> None:
        self._slots = self._gauge("triptych_slots", "Slots there are.")
        self._loaded = self._gauge(
            "triptych_model_loaded_timestamp_seconds", "When the weights that are served were loaded, in Unix time."
        )
        self._kv_bytes = self._gauge("triptych_kv_cache_bytes", "Size of the key/value cache.")
        self._info = Gauge(
            "triptych_model_info",
            "Always 1; the labels say what is served.",
            ["model", "version", "architecture", "device", "precision"],
            registry=self.registry,
        )
        self._reloads = Counter(
            "triptych_reloads_total",
            "Reloads of the model's weights, by outcome; after a failure the old ones go on serving.",
            ["model", "outcome"],
            registry=self.registry,
        )
        for outcome in RELOADS:
            self._reloads.labels(self._model, outcome)

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, documentation, ["model"], buckets=buckets, registry=self.registry).labels(self._model)

    def _counter(self, name: str, documentation: str) -> Counter:
        return Counter(name, documentation, ["model"], registry=self.registry).labels(self._model)

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, ["model"], registry=self.registry).labels(self._model)

    def describe(self, info: ModelInfo) -> None:
        """Say what is served, at the start and after each reload."""
        self._info.clear()  # the old version's series would stay at 1 for ever
        self._info.labels(self._model, info.version, info.architecture, info.device, info.precision).set(1)
        self._slots.set(info.slots)
        self._loaded.set(time.time())
        self._kv_bytes.set(info.kv_cache_bytes)

    def reloaded(self, outcome: Literal["success", "failure"]) -> None:
        self._reloads.labels(self._model, outcome).inc()

    def observe_step(self, stats: StepStats) -> None:
        self._batch_size.observe(stats.prefill_requests + stats.decode_requests)
        if stats.prefill_requests:
            self._prefill.observe(stats.prefill_s)
            self._padded.observe(stats.padded_tokens)
        if stats.decode_requests:
            self._decode.observe(stats.decode_s)
        self._tokens_after_cancel.inc(stats.abandoned_tokens)
        self._prefix_queries.inc(stats.prefix_query_tokens)
        self._prefix_hits.inc(stats.prefix_hit_tokens)
        self._running.set(stats.running)
        self._waiting.set(stats.waiting)
        self._slots_used.set(stats.slots_used)
        self._kv_usage.set(stats.kv_used_tokens / stats.kv_total_tokens if stats.kv_total_tokens else 0.0)

    def observe_request(self, stats: RequestStats) -> None:
        self._finished.labels(self._model, stats.outcome).inc()
        if stats.outcome in GIVEN_UP:
            self._cancelled.labels(self._model, stats.stage).inc()
        if stats.outcome in FINISH_REASONS:
            self._duration.observe(stats.total_s)
        if stats.queue_s is not None:
            self._queue.observe(stats.queue_s)
        if stats.first_token_s is not None:
            self._first_token.observe(stats.first_token_s)
        for gap in stats.inter_token_s:
            self._inter_token.observe(gap)
        self._prompt_tokens.inc(stats.prompt_tokens)
        self._generated_tokens.inc(stats.generated_tokens)

    def render(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.registry)
