"""The environment in which Ray Serve is fast, quiet and alone: set before ray is imported, which it never is here.

HAProxy with direct ingress and throughput mode take the hop in front of the gateway from milliseconds to less than one.
HAProxy's files and ports are made this service's own, so that two services on one machine do not meet.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress

QUIET_PORTS = range(20000, 32768)  # above Ray's workers, below the usual ephemeral ports
LOG_LINE = r'^(\{"time"|\d\d:\d\d:\d\d [A-Z]+ triptych)'  # how our log lines begin


def environment(directory: str) -> Mapping[str, str]:
    """Variables for a local Ray and everything it starts; what the caller's environment already says wins.

    `directory` is where HAProxy keeps its files.
    """
    statistics, metrics = free_ports(2)
    wanted = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{directory}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{directory}/admin.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": directory,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{directory}/server-state",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(statistics),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "8",
        # On a busy machine the proxies take longer to begin than the 15 s after which Serve would kill them.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        # How long Serve waits, at least, for a load balancer to notice that a proxy goes. Here there is none.
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.5",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.5",
        # What stops a replica here is a setting or a checkpoint: trying again only delays the message.
        "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # What replicas log reaches the terminal as it is; Ray Serve's own notices stay in Ray's log files.
        "RAY_COLOR_PREFIX": "0",
        "RAY_DEDUP_LOGS_ALLOW_REGEX": LOG_LINE,
        "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
        "RAY_AUTH_MODE": "token",  # Ray's own ports listen on every interface: only who knows the token is heard
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a replica that reserves no GPU still sees one
    }
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, on any interface."""
    ports: list[int] = []
    with ExitStack() as stack:
        # At random, and not of those that the system gives to outgoing connections: it is seconds until they are used.
        for port in random.SystemRandom().sample(QUIET_PORTS, len(QUIET_PORTS)):
            candidate = stack.enter_context(socket.socket())
            with suppress(OSError):
                candidate.bind(("", port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError(f"no {count} free ports between {QUIET_PORTS.start} and {QUIET_PORTS.stop}")
