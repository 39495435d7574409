from __future__ import annotations

import socket

import pytest

from service.deployments import fastpath


def test_ports_are_free_distinct_and_no_outgoing_connection_takes_them() -> None:
    ports = fastpath.free_ports(3)
    assert len(set(ports)) == 3
    assert all(port in fastpath.QUIET_PORTS for port in ports)
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("", port))


def test_a_port_that_is_taken_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("", 0))
        taken = listener.getsockname()[1]
        monkeypatch.setattr(fastpath, "QUIET_PORTS", range(taken, taken + 1))
        with pytest.raises(OSError, match="no 1 free ports"):
            fastpath.free_ports(1)


def test_what_the_environment_says_already_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_HAPROXY_STATS_PORT", "20123")
    given = fastpath.environment("/somewhere")
    assert given["RAY_SERVE_HAPROXY_STATS_PORT"] == "20123"
    assert given["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"] == "/somewhere/haproxy.cfg"
