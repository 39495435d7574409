"""What the supervisor and its children tell each other. Crosses a pipe by pickle; knows nothing of Ray or HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSetup:
    """The first thing the process that holds Ray is told."""

    settings: Settings
    address: str | None  # of a Ray cluster; None: it starts a Ray of its own
    directory: str  # where that Ray keeps its files
    logs: str  # socket that takes log lines


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySetup:
    """The first thing a gateway process is told."""

    settings: Settings
    number: int  # which of the gateways it is, from 0
    listeners: tuple[int, ...]  # file descriptors of the listening sockets: the service's own, the operations'
    logs: str
    restarts: Mapping[str, int]  # how often each process was started anew


# To the gateways.


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often each process was started anew since the service began."""

    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new requests, finish those that run, and end."""

    timeout_s: float


# From the gateways.


@dataclass(frozen=True, slots=True)
class Alive:
    """The gateway's event loop turns: told every `BEAT_S`."""


BEAT_S = 1.0


# From the process that holds Ray.


@dataclass(frozen=True, slots=True)
class Joined:
    """Ray runs at this address: the gateways, which are told, too, ask the models there."""

    address: str


@dataclass(frozen=True, slots=True)
class Loading:
    """These models have fewer replicas than they should."""

    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deployed:
    """Every replica of every model runs."""


@dataclass(frozen=True, slots=True)
class Lost:
    """So many replicas of a model have ended without having been asked to; Ray Serve starts others."""

    model: str
    replicas: int
    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """All replicas of a model run again."""

    model: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The models cannot be served, or no longer."""

    reason: str


Report = Joined | Loading | Deployed | Lost | Recovered | Failed
