"""The environment in which a Ray of our own is fast, quiet and alone: set before Ray is imported, never here."""

from __future__ import annotations

import os
import secrets


def environment(*, own_ray: bool) -> dict[str, str]:
    """Variables for the service's processes; what the caller's environment already says wins.

    On somebody else's Ray cluster (`own_ray` false) its own variables hold.
    """
    wanted = _ALWAYS | (_own() if own_ray else {})
    return {**wanted, **os.environ}


_ALWAYS = {
    "PYTHONUNBUFFERED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # Where replicas log through Ray: a prefix that can be taken off again, and no line left out as a repetition.
    "RAY_COLOR_PREFIX": "0",
    "RAY_DEDUP_LOGS": "0",
}


def _own() -> dict[str, str]:
    return {
        # Replicas run our code in their main loop and are called over gRPC: a call takes a fraction of the time.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Which would bring proxies and HTTP ports of Ray Serve's own. The gateways answer HTTP, and nobody else.
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "0",
        # What stops a replica here is a setting or a checkpoint: trying again only delays the message.
        "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1",
        # Ray's own ports listen on the loopback interface, as on other systems, and to those who know the token.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a replica that reserves no GPU still sees one
        # Ray's own log files, which nobody reads unless Ray is at fault.
        "RAY_ROTATION_MAX_BYTES": str(4 * 2**20),
        "RAY_ROTATION_BACKUP_COUNT": "1",
    }
