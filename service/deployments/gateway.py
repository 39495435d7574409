"""The HTTP gateway as a Ray Serve deployment, for `serve deploy`: the ASGI application with a handle for each model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.config import Settings


@dataclass(frozen=True)
class OneRequestId:
    """Ray Serve repeats the x-request-id of each request, or one it made, on the response: ours would be a second."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_request_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)["x-request-id"]
            await send(message)

        await self.app(scope, receive, send_without_request_id)


@serve.ingress()
class Gateway:
    def __init__(self, settings: Settings, handles: Mapping[str, DeploymentHandle]) -> None:
        self._settings, self._handles = settings, handles

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Called by Ray Serve in the replica: metrics hold locks and cannot travel there."""
        from service.deployments.worker import RayWorker
        from service.gateway.app import create_app
        from service.observability.logging import configure_logging
        from service.observability.metrics import GatewayMetrics

        # Not sys.stderr: Ray Serve sends that to a file of its own.
        configure_logging(self._settings.log_level, json_lines=self._settings.log_json, stream=sys.__stderr__)
        workers = {name: RayWorker(name, handle) for name, handle in self._handles.items()}
        replica = serve.get_replica_context().replica_id.unique_id
        return OneRequestId(create_app(self._settings, workers, GatewayMetrics(list(workers), replica)))


def deploy_gateway(settings: Settings, models: Mapping[str, Application]) -> Application:
    """The ingress deployment, bound to the models' deployments.

    Raises ValueError for a second port: Ray Serve has one.
    """
    if settings.gateway.operations_port is not None:
        raise ValueError("gateway.operations_port is of `triptych serve`: Ray Serve has one port for everything")
    deployment = serve.deployment(
        name="gateway",
        num_replicas=settings.gateway.replicas,
        # Admission refuses with a reason and a Retry-After before Serve's own bound is met.
        max_ongoing_requests=settings.gateway.max_in_flight * 2,
        ray_actor_options={"num_cpus": 0.1},
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=6,
        health_check_period_s=5,
    )(Gateway)
    return deployment.bind(settings, dict(models))
