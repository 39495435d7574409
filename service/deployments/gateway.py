"""The Ray Serve deployment of the HTTP gateway: the ASGI application with a handle for each model."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from service.config import Settings


@serve.ingress()
class Gateway:
    def __init__(self, settings: Settings, handles: Mapping[str, DeploymentHandle]) -> None:
        self._settings, self._handles = settings, handles

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Ray Serve in the replica: metrics hold locks and cannot travel there."""
        from service.deployments.worker import RayWorker
        from service.gateway.app import create_app
        from service.observability.logging import configure_logging
        from service.observability.metrics import GatewayMetrics

        configure_logging(self._settings.log_level)
        workers = {name: RayWorker(name, handle) for name, handle in self._handles.items()}
        return create_app(self._settings, workers, GatewayMetrics(list(workers)))


def deploy_gateway(settings: Settings, models: Mapping[str, Application]) -> Application:
    """The ingress deployment, bound to the models' deployments."""
    deployment = serve.deployment(
        name="gateway",
        num_replicas=settings.gateway.replicas,
        # Admission refuses with a reason and a Retry-After before Serve's own bound is met.
        max_ongoing_requests=settings.gateway.max_in_flight * 2,
        ray_actor_options={"num_cpus": 0.1},
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=8,
        health_check_period_s=5,
    )(Gateway)
    return deployment.bind(settings, dict(models))
