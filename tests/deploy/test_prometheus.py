from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.exposition import exposition, missing

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH (Debian's package prometheus has it)"
)


def promtool(*arguments: str | Path, stdin: str | None = None) -> None:
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=PROMETHEUS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict]:
    return [
        rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]


@needs_promtool
def test_prometheus_takes_the_configuration_and_its_rules() -> None:
    promtool("check", "config", "prometheus.yml")


@needs_promtool
def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", "alerts_test.yml")


@needs_promtool
def test_prometheus_finds_no_fault_with_the_metrics() -> None:
    promtool("check", "metrics", stdin=exposition())


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    firing = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert firing == {rule["alert"] for rule in rules()}


def test_the_alerts_ask_for_metrics_and_labels_that_exist() -> None:
    for rule in rules():
        assert missing(rule["expr"]) == [], rule["alert"]


def test_prometheus_scrapes_the_service_that_compose_starts() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    compose = yaml.safe_load((DEPLOY.parent / "compose.yaml").read_text())
    targets = [
        target for job in config["scrape_configs"] for each in job["static_configs"] for target in each["targets"]
    ]
    assert targets == ["triptych:8000"]
    assert any(port.endswith(":8000") for port in compose["services"]["triptych"]["ports"])
    assert config["rule_files"] == ["alerts.yml"]
