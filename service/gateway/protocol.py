"""What a protocol brings along: a folder of the gateway whose routes speak in its own shapes over the same traffic.

A new one is a folder and a line in `app`; none imports another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from service.config import GatewaySettings
from service.gateway.access import KeyOf, key_in_headers
from service.gateway.context import ErrorShape
from service.gateway.errors import error_answer
from service.gateway.traffic import Traffic
from service.messages import ModelInfo, Task

Examples = Mapping[str, Mapping[str, Any]]  # route -> what an example shows -> the body that is sent

# May give what is to run beside the routes: it is entered when the gateway starts, and left before the models are.
AddRoutes = Callable[[FastAPI, Traffic], AbstractAsyncContextManager[None] | None]


@dataclass(frozen=True, kw_only=True)
class HttpProtocol:
    add_routes: AddRoutes
    prefixes: Sequence[str] = ()  # of its paths, where they have any: what is wrong below is told in `error_shape`
    error_shape: ErrorShape = error_answer
    # Route -> the task that it asks for, or those of which it asks for one. What is wrong there is told in
    # `error_shape`, too.
    tasks: Mapping[str, Task | tuple[Task, ...]] = field(default_factory=dict)
    # Of the bodies of routes that take others than `max_body_bytes`.
    body_limits: Callable[[GatewaySettings], Mapping[str, int]] = lambda settings: {}
    needs_key: bool = True  # where keys are asked for at all
    key_of: KeyOf = key_in_headers
    key_in_body: bool = False  # where `key_of` finds none: the endpoints call `Access.enter`
    internal: Collection[str] = ()  # routes that only `gateway.operations_port` has, where there is one
    probes: Collection[str] = ()  # routes that are asked all the time
    description: str = ""  # the API's, as far as it is this protocol
    schemas: Sequence[type[BaseModel]] = ()  # that its documentation names, and FastAPI does not see
    # Of the models that say what they answer well, with the tasks of all that are served, also of silent ones.
    examples: Callable[[Sequence[ModelInfo], Sequence[Task]], Examples] = lambda models, tasks: {}


_USUAL = HttpProtocol(add_routes=lambda app, traffic: None)


def protocol_at(protocols: Sequence[HttpProtocol], path: str) -> HttpProtocol:
    """That whose route asks a task or, of other paths, has the longest prefix; one in which everything is as usual
    where none has any.
    """
    if (owner := next((each for each in protocols if path in each.tasks), None)) is not None:
        return owner
    speaking = [(prefix, each) for each in protocols for prefix in each.prefixes if path.startswith(f"{prefix}/")]
    return max(speaking, key=lambda one: len(one[0]))[1] if speaking else _USUAL
