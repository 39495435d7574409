from __future__ import annotations

import pytest

from service.deployments.environment import environment


def test_a_ray_of_our_own_answers_no_http_and_asks_for_a_token_that_nobody_else_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    first, second = environment(own_ray=True), environment(own_ray=True)
    assert first["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == first["RAY_SERVE_ENABLE_HA_PROXY"] == "0"
    assert first["RAY_AUTH_MODE"] == "token"
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    assert len(first["RAY_AUTH_TOKEN"]) == 64


def test_on_a_cluster_its_own_variables_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert environment(own_ray=False)["RAY_AUTH_MODE"] == environment(own_ray=True)["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_SERVE_ENABLE_HA_PROXY" not in environment(own_ray=False)


def test_what_the_environment_says_already_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ROTATION_MAX_BYTES", "123")
    assert environment(own_ray=True)["RAY_ROTATION_MAX_BYTES"] == "123"
