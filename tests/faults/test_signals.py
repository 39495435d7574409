"""A signal to every process of the service at once, as systemd, make and timeout send it."""

from __future__ import annotations

import signal
import time

import pytest

from tests.e2e.service import Service
from tests.faults.load import Clients


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_to_all_processes_under_load_loses_nothing(registry: str, number: signal.Signals) -> None:
    service = Service("--registry", registry).wait_until_ready()
    with Clients(service.url, 16, tokens=120) as ledger:
        time.sleep(0.5)
        seconds = service.stop(number, group=True)
    print(f"stopped after {seconds:.1f} s")
    assert seconds < 10
    assert ledger.hung + ledger.wrong + ledger.broken == 0, str(ledger)
    assert service.process.returncode == 0
    assert service.survivors() == []
    assert "Traceback" not in service.output
    assert "ray" not in service.output.split("Stopping", 1)[1].lower()


def test_the_first_signal_ends_a_service_that_is_still_starting(registry: str) -> None:
    service = Service("--registry", registry)
    service.wait_for_line("Loading")
    seconds = service.stop(signal.SIGTERM)
    assert seconds < 8
    assert service.process.returncode == 0
    assert service.survivors() == []
    assert "Traceback" not in service.output
