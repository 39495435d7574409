"""The metrics the application renders, and the names that PromQL expressions use."""

from __future__ import annotations

import re
from functools import cache

from prometheus_client.parser import text_string_to_metric_families

from service.messages import ModelInfo
from service.observability.exposition import merge
from service.observability.metrics import GatewayMetrics, WorkerMetrics

_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_METRIC = re.compile(r"\b(triptych_\w+|process_\w+_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")


def exposition() -> str:
    """What /metrics answers after some requests."""
    gateway, worker = GatewayMetrics(["generator"]), WorkerMetrics("generator")
    gateway.request_started("/generate")
    gateway.request_ended("/generate", 499, 0.1)
    gateway.first_token("/generate", 0.1)
    gateway.failed("/generate", "internal")
    gateway.key_asked("shop", 200)
    gateway.key_tokens("shop", 5)
    gateway.key_refused("shop", "tokens")
    worker.describe(
        ModelInfo(
            name="generator", task="generate", version="generator@1", architecture="gpt", parameters=1, device="cpu",
            precision="float32", slots=4, max_prompt_tokens=8, max_new_tokens=8,
        )
    )  # fmt: skip
    return merge([(gateway.replica, gateway.render()), ("a1b2", worker.render())]).decode()


@cache
def rendered() -> dict[str, frozenset[str]]:
    """Label names by sample name, `_bucket`, `_sum` and `_count` included."""
    samples: dict[str, frozenset[str]] = {}
    for family in text_string_to_metric_families(exposition()):
        for sample in family.samples:
            samples[sample.name] = samples.get(sample.name, frozenset()) | sample.labels.keys()
    return samples


def grouped_by(expression: str) -> set[str]:
    """Labels that the expression groups by, anywhere."""
    return {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")} - {""}


def used(expression: str) -> dict[str, set[str]]:
    """The metrics that the expression reads, with the labels it takes them to have."""
    metrics: dict[str, set[str]] = {}
    for name, selector in _METRIC.findall(expression):
        metrics.setdefault(name, grouped_by(expression)).update(_MATCHER.findall(selector))
    return metrics


def missing(expression: str) -> list[str]:
    """What the expression uses and /metrics does not have, in words; empty where all is well."""
    there = {**rendered(), "up": frozenset({"job", "instance"})}
    found = []
    for name, labels in used(expression).items():
        if name not in there:
            found.append(f"no metric {name}")
        elif unknown := labels - there[name]:
            found.append(f"{name} has no label {', '.join(sorted(unknown))}")
    return found or ([] if used(expression) else [f"no metric in {expression}"])
