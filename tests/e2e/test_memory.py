"""What a service at rest takes, as `triptych bench memory` counts it: a service of its own, which nobody has asked."""

from __future__ import annotations

import time

import pytest

from loadtests.bench.memory import MIB, Taken, taken
from tests.e2e.service import Service

# RSS of each replica, with its share of the libraries that all of them have in memory; PSS of all processes together.
REPLICA = 400 * MIB
SERVICE = 2000 * MIB
SETTLED_S = 5.0  # a sign of life has been asked of each model


@pytest.fixture(scope="module")
def at_rest(tmp_path_factory: pytest.TempPathFactory) -> list[Taken]:
    running = Service(environment={"TRIPTYCH_STATE": str(tmp_path_factory.mktemp("state"))}).wait_until_ready()
    try:
        time.sleep(SETTLED_S)
        return taken(running.process.pid)
    finally:
        running.stop()


def test_a_replica_of_a_shipped_model_takes_less_than_400_mib(at_rest: list[Taken]) -> None:
    replicas = {each.name: each.rss for each in at_rest if each.is_replica}
    assert replicas.keys() == {f"replica of {name}" for name in ("translator", "generator", "classifier", "encoder")}
    assert {name: size // MIB for name, size in replicas.items() if size >= REPLICA} == {}


def test_all_processes_together_take_less_than_2_gb(at_rest: list[Taken]) -> None:
    assert sum(each.pss for each in at_rest) < SERVICE, {each.name: each.pss // MIB for each in at_rest}


def test_every_process_is_known_by_its_name(at_rest: list[Taken]) -> None:
    assert not {each.name for each in at_rest} & {"python", "python3", "python3.11"}
