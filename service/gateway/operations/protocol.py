"""What operators ask for, as the app takes it."""

from __future__ import annotations

from fastapi import FastAPI

from service.gateway.operations.admin import add_admin_routes
from service.gateway.operations.routes import PROBES, add_operation_routes
from service.gateway.protocol import HttpProtocol
from service.gateway.traffic import Traffic


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    add_operation_routes(app, traffic)
    add_admin_routes(app, traffic)


OPERATIONS = HttpProtocol(add_routes=_add_routes, probes=PROBES)
