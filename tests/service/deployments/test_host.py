"""What the process that holds Ray tells of the models, as it looks at them again and again; without Ray."""

from __future__ import annotations

import pytest

from service.config import Settings
from service.deployments import host, lifecycle
from service.deployments.host import Host
from service.deployments.lifecycle import Replicas
from service.deployments.reports import Deployed, Failed, HostSetup, Joined, Loading, Lost, Recovered, Report

WELL = Replicas(running=2, complete=True, scaling=False, message="")
ONE_GONE = Replicas(running=1, complete=False, scaling=False, message="out of memory")
GONE = Replicas(running=0, complete=False, scaling=False, message="out of memory")
FEWER = Replicas(running=1, complete=False, scaling=True, message="")
TEN_S = 10.0  # between two looks


class Over(Exception):
    """The test has no more to show."""


def watched(monkeypatch: pytest.MonkeyPatch, *states: Replicas) -> list[Report]:
    """What is told while model m is in these states, one after the other."""
    told: list[Report] = []
    coming, now = iter(states), 0.0

    def replicas(settings: Settings) -> dict[str, Replicas]:
        nonlocal now
        now += TEN_S
        for state in coming:
            return {"m": state}
        raise Over

    monkeypatch.setattr(host, "LOOK_S", 0)
    monkeypatch.setattr(host.time, "monotonic", lambda: now)
    monkeypatch.setattr(lifecycle, "connect", lambda *_: "here:1")
    monkeypatch.setattr(lifecycle, "deploy", lambda settings, logs, loading: loading(("m",)))
    monkeypatch.setattr(lifecycle, "replicas", replicas)
    settings = Settings(start_timeout_s=25)
    try:
        Host(HostSetup(settings=settings, address="here:1", directory="", logs=""), told.append).run()
    except Over:
        told.append(Failed("over"))
    assert told[:3] == [Joined("here:1"), Loading(("m",)), Deployed()]
    return told[3:]


def test_what_is_well_is_not_spoken_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(monkeypatch, WELL, WELL, WELL) == [Failed("over")]


def test_replicas_that_ended_are_told_once_with_the_reason_and_so_is_that_all_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert watched(monkeypatch, WELL, ONE_GONE, ONE_GONE, WELL, WELL) == [
        Lost("m", 1, "out of memory"),
        Recovered("m", 20.0),
        Failed("over"),
    ]


def test_replicas_that_serve_takes_away_on_purpose_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(monkeypatch, WELL, FEWER, FEWER) == [Failed("over")]


def test_a_model_that_stays_away_longer_than_it_may_take_to_start_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(monkeypatch, WELL, GONE, GONE, GONE, GONE, WELL) == [
        Lost("m", 2, "out of memory"),
        Failed("m did not come back within 25 s: out of memory"),
    ]


def test_a_model_with_one_replica_left_is_not_given_up_however_long_the_other_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = watched(monkeypatch, WELL, *[ONE_GONE] * 9, WELL)
    assert told == [Lost("m", 1, "out of memory"), Recovered("m", 90.0), Failed("over")]


def test_models_that_cannot_be_deployed_are_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise lifecycle.StartError("m: no room")

    told: list[Report] = []
    monkeypatch.setattr(lifecycle, "connect", lambda *_: "here:1")
    monkeypatch.setattr(lifecycle, "deploy", fails)
    Host(HostSetup(settings=Settings(), address="here:1", directory="", logs=""), told.append).run()
    assert told == [Joined("here:1"), Failed("m: no room")]
